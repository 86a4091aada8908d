package instant

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2001-01-01T00:01:00Z":                "2001-01-01T00:01:00Z",
		"2001-01-01t00:01:00z":                "2001-01-01T00:01:00Z",
		"2001-01-01t00:01:00.5-06:00":         "2001-01-01T06:01:00.5Z",
		"2001-01-01T00:01:00-00:00":           "2001-01-01T00:01:00Z",
		"2001-01-01T00:01:00.1234567Z":        "2001-01-01T00:01:00.123456Z",
		"0000-01-01T00:00:00Z":                "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59Z":                "9999-12-31T23:59:59Z",
		"2016-12-31T23:59:60Z":                "2016-12-31T23:59:59.999999Z",
		"2016-12-31t23:59:60.75z":             "2016-12-31T23:59:59.999999Z",
		"2017-01-01T05:29:60+05:30":           "2016-12-31T23:59:59.999999Z",
		"1990-12-31T15:59:60-08:00":           "1990-12-31T23:59:59.999999Z",
		"2015-06-30T23:59:60Z":                "2015-06-30T23:59:59.999999Z",
		"2016-02-29T23:59:60Z":                "2016-02-29T23:59:59.999999Z",
		"2261-12-31T23:59:59.99999999999999Z": "2261-12-31T23:59:59.999999Z",
	} {
		got, err := Time(text)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for text, want := range map[string]error{
		"":                              ErrForm,
		"2001-01-01":                    ErrForm,
		"2001-01-01 00:01:00Z":          ErrForm,
		"2001-01-01T00:01Z":             ErrForm,
		"2001-01-01T0:01:00Z":           ErrForm,
		"2001-01-01T00:01:00,5Z":        ErrForm,
		"2001-01-01T00:01:00.Z":         ErrForm,
		"2001-01-01T00:01:00Z ":         ErrForm,
		"2001-01-01T00:01:00+24:00":     ErrForm,
		"2001-01-01T00:01:00+05:60":     ErrForm,
		"2001-02-29T00:01:00Z":          ErrForm,
		"2001-01-01T24:00:00Z":          ErrForm,
		"2001-01-01T00:00:61Z":          ErrForm,
		"2001-01-01T00:01:00":           ErrZone,
		"2001-01-01T00:01:00.5":         ErrZone,
		"2016-12-31T23:59:60":           ErrZone,
		"2016-12-30T23:59:60Z":          ErrLeap,
		"2016-12-31T22:59:60Z":          ErrLeap,
		"2016-12-31T23:59:60-06:00":     ErrLeap,
		"2016-12-31T23:58:60Z":          ErrLeap,
		"\xff001-01-01T00:01:00Z":       ErrForm,
		"2001-01-01\x1400:01:00\x1a":    ErrForm,
		"2001-01-01T00:01:00\x1a":       ErrForm,
		"2001-01-01T00:01:00.9999999+1": ErrForm,
	} {
		if got, err := Time(text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want that it %v", text, got, err, want)
		}
	}
}

// TestParseAgreesWithTimePackage draws times, and sets apart those on which package time is wrong (golang/go#54580) or
// stricter: small letters, second 60, an hour of one digit, a comma, an offset of 24 hours or 60 minutes.
func TestParseAgreesWithTimePackage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(19|20|22)[0-9]{2}-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-6][0-9]:[0-5][0-9]`+
			`(\.[0-9]{0,11})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`).Draw(t, "time")
		got, err := Parse([]byte(text))
		var want time.Time
		if wantErr := want.UnmarshalText([]byte(text)); (err == nil) != (wantErr == nil) || err == nil &&
			want.UnixMicro() != got {
			t.Fatalf("%s: got %d, %v; want %d, %v", text, got, err, want.UnixMicro(), wantErr)
		}
	})
}

// TestOrder holds across a leap second: a time that is written later is never earlier.
func TestOrder(t *testing.T) {
	t.Parallel()
	last := int64(0)
	for _, text := range []string{"2016-12-31T23:59:59Z", "2016-12-31T23:59:59.999999Z", "2016-12-31T23:59:60Z",
		"2016-12-31T23:59:60.999Z", "2017-01-01T00:00:00Z"} {
		at, err := Parse([]byte(text))
		if err != nil || at < last {
			t.Errorf("%s: got %d, %v after %d", text, at, err, last)
		}
		last = at
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte("2001-01-01T00:01:00.123456-06:00")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
