package timeformat

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ format, zone, text, want string }{
		{"", "", "2024-05-01t10:00:00z", "2024-05-01t10:00:00z"},
		{"", "", "2024-05-01 10:00:00+02", "2024-05-01T08:00:00Z"},
		{"", "", "2024-05-01 10:00:00.5 +0200", "2024-05-01T08:00:00.5Z"},
		{"", "", "2024-05-01 10:00:00 UTC", "2024-05-01T10:00:00Z"},
		{"", "Europe/Berlin", "2024-05-01 10:00:00", "2024-05-01T08:00:00Z"},
		{"", "Europe/Berlin", "2024-05-01", "2024-04-30T22:00:00Z"},
		{"", "Asia/Beirut", "2024-03-31", "2024-03-30T22:00:00Z"}, // There is no midnight.
		{"", "America/Sao_Paulo", "2018/11/04", "2018-11-04T03:00:00Z"},
		{"02.01.2006", "America/Sao_Paulo", "04.11.2018", "2018-11-04T03:00:00Z"},
		{"", "Europe/Berlin", "2024/05/01 10:00", "2024-05-01T08:00:00Z"},
		{"", "America/New_York", "2013-11-03 01:30:00", "2013-11-03T05:30:00Z"},  // The first of two.
		{"", "Antarctica/Vostok", "1994-01-31 17:00:00", "1994-01-31T10:00:00Z"}, // It came twice, seven hours apart.
		{"date", "UTC", "2024-02-29", "2024-02-29T00:00:00Z"},
		{"02.01.2006 15:04", "Europe/Berlin", "01.05.2024 10:00", "2024-05-01T08:00:00Z"},
		{"02/Jan/2006:15:04:05 -0700", "", "01/May/2024:10:00:00 +0200", "2024-05-01T08:00:00Z"},
		{"unix", "", "1714557600", "2024-05-01T10:00:00Z"},
		{"unix", "", "1714557600.000001", "2024-05-01T10:00:00.000001Z"},
		{"unix", "", "1.7145576e9", "2024-05-01T10:00:00Z"},
		{"unix", "", "-0.5", "1969-12-31T23:59:59.5Z"},
		{"unix-ms", "", "-1", "1969-12-31T23:59:59.999Z"},
		{"unix-us", "", "1714557600000001", "2024-05-01T10:00:00.000001Z"},
		{"unix-ns", "", "1714557600000000001", "2024-05-01T10:00:00.000000001Z"},
	} {
		f, err := New(c.format, c.zone)
		if err != nil {
			t.Fatal(c, err)
		}
		if got, _, err := f.Parse(c.text); err != nil || got != c.want {
			t.Errorf("%+v: got %s, %v", c, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ format, zone, text, want string }{
		{"", "", "2024-05-01 10:00:00", "name the zone with --time-zone"},
		{"", "", "2024-05-01", "name the zone with --time-zone"},
		{"", "", "1714557600", "--time-format unix"},
		{"", "", "01.05.2024", `with --time-format "02.01.2006" or "01.02.2006"`},
		{"", "", "13/02/2024", `with --time-format "02/01/2006"`},
		{"", "UTC", "02/13/2024 10:00", `with --time-format "01/02/2006 15:04"`},
		{"", "", "13-13-2024", "is not an RFC 3339 time"},
		{"", "Europe/Berlin", "2024-03-31 02:30:00", "the clocks went forward over it Europe/Berlin"},
		{"", "Pacific/Apia", "2011-12-30 12:00:00", "the clocks went forward"},
		{"", "Pacific/Apia", "2011-12-30", "the clocks went forward"}, // The whole day was skipped.
		{"", "Asia/Beirut", "2024-03-31 00:00:00", "the clocks went forward"},
		{"", "UTC", "2023-02-29", "is not an RFC 3339 time"},
		{"date", "UTC", "2024-05-01 10:00:00", "is not of the form"},
		{"unix", "", "today", "is not a number"},
		{"unix", "", "0x10", "is not a number"},
		{"unix", "", "NaN", "is not a number"},
		{"unix", "", "1e300", "is outside"},
		{"unix", "", "1714557600000", "is outside"},
		{"unix", "", "1e-99999", "is outside"},
		{"", "UTC", strings.Repeat("1", 65), "has 65 bytes"},
	} {
		f, err := New(c.format, c.zone)
		if err != nil {
			t.Fatal(c, err)
		}
		if got, _, err := f.Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %s, %v", c, got, err)
		}
	}
	for format, want := range map[string]string{"%Y-%m-%d": "%Y", "2006-01-02 MST": "letters of a zone",
		"15:04": "does not say year", "yyyy-mm-dd": "does not say year", "06-01": "does not say year"} {
		if _, err := New(format, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", format, err)
		}
	}
	if _, err := New("", "Mars/Olympus"); err == nil {
		t.Error("a zone that does not exist was taken")
	}
}

// TestNumbers compares numbers with exact arithmetic.
func TestNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,12})?`).Draw(r, "text")
		f, err := New("unix", "")
		if err != nil {
			r.Fatal(err)
		}
		got, _, err := f.Parse(text)
		exact, _ := new(big.Rat).SetString(text)
		nanos := exact.Mul(exact, big.NewRat(1e9, 1))
		seconds := new(big.Int).Div(new(big.Int).Div(nanos.Num(), nanos.Denom()), big.NewInt(1e9)).Int64()
		if out := seconds < firstSecond || seconds >= endSecond; out != (err != nil) {
			r.Fatalf("%s: %s, %v", text, got, err)
		} else if out {
			return
		}
		back, err := time.Parse(time.RFC3339Nano, got)
		if err != nil || back.Unix() != seconds {
			r.Fatalf("%s: %s, %v", text, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("", "2024-05-01 10:00:00")
	f.Add("unix", "1e9")
	f.Add("02.01.2006", "01.02.2024")
	f.Fuzz(func(t *testing.T, format, text string) {
		read, err := New(format, "Europe/Berlin")
		if err != nil {
			return
		}
		got, _, err := read.Parse(text)
		if err != nil {
			return
		}
		if _, _, err := read.Parse(text); err != nil || got == "" {
			t.Errorf("%q in %q: %q, then %v", text, format, got, err)
		}
	})
}

func TestReasons(t *testing.T) {
	t.Parallel()
	f, err := New("", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Parse("2024-05-01 10:00"); !errors.Is(err, ErrZone) {
		t.Error(err)
	}
	for text, want := range map[string][2]bool{"2024-05-01": {true, false}, "2024-05-01T10:00:00Z": {true, true},
		"7": {}, "hello world": {}} {
		if is, zone := IsTime(text); is != want[0] || zone != want[1] {
			t.Errorf("%s: %t, %t", text, is, zone)
		}
	}
}
