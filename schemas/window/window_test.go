package window

import (
	"testing"
	"time"
)

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func windows(t *testing.T, from, to, gran, zone string) Windows {
	t.Helper()
	g, err := ParseGranularity(gran)
	if err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(parseTime(t, from), parseTime(t, to), g, loc, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, from, to, gran, zone string
		count                      int
		first, second              string
	}{
		{"utc hours", "2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z", "1h", "UTC", 24, "2001-01-01T00:00:00Z",
			"2001-01-01T01:00:00Z"},
		{"half-hour zone", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00Z", "1h", "Asia/Kolkata", 3,
			"2023-12-31T23:30:00Z", "2024-01-01T00:30:00Z"},
		{"three-quarter-hour zone", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "1d", "Asia/Kathmandu", 2,
			"2023-12-31T18:15:00Z", "2024-01-01T18:15:00Z"},
		{"day of 23 hours", "2024-03-10T06:00:00Z", "2024-03-11T05:00:00Z", "1h", "America/Chicago", 23,
			"2024-03-10T06:00:00Z", "2024-03-10T07:00:00Z"},
		{"day of 25 hours", "2024-11-03T05:00:00Z", "2024-11-04T06:00:00Z", "1h", "America/Chicago", 25,
			"2024-11-03T05:00:00Z", "2024-11-03T06:00:00Z"},
		{"days over a change", "2024-03-09T06:00:00Z", "2024-03-12T05:00:00Z", "1d", "America/Chicago", 3,
			"2024-03-09T06:00:00Z", "2024-03-10T06:00:00Z"},
		{"iso weeks", "2024-01-01T00:00:00Z", "2024-01-15T00:00:00Z", "1w", "UTC", 2, "2024-01-01T00:00:00Z",
			"2024-01-08T00:00:00Z"},
		{"months", "2024-01-15T00:00:00Z", "2024-03-01T00:00:00Z", "1mo", "UTC", 2, "2024-01-01T00:00:00Z",
			"2024-02-01T00:00:00Z"},
		{"weeks of seven days", "2024-01-03T00:00:00Z", "2024-01-15T00:00:00Z", "7d", "UTC", 2, "2024-01-01T00:00:00Z",
			"2024-01-08T00:00:00Z"},
		{"two days of any range", "2024-01-02T00:00:00Z", "2024-01-05T00:00:00Z", "2d", "UTC", 2,
			"2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"},
		{"the first week of all", "1970-01-01T00:00:00Z", "1970-01-13T00:00:00Z", "2w", "UTC", 2,
			"1969-12-29T00:00:00Z", "1970-01-12T00:00:00Z"},
		{"quarters", "2024-02-15T00:00:00Z", "2024-06-01T00:00:00Z", "1q", "Europe/Berlin", 2, "2023-12-31T23:00:00Z",
			"2024-03-31T22:00:00Z"},
		{"two months", "2024-02-15T00:00:00Z", "2024-04-01T00:00:00Z", "2mo", "UTC", 2, "2024-01-01T00:00:00Z",
			"2024-03-01T00:00:00Z"},
		{"years", "2023-12-31T00:00:00Z", "2024-01-02T00:00:00Z", "1y", "UTC", 2, "2023-01-01T00:00:00Z",
			"2024-01-01T00:00:00Z"},
		{"decades", "2019-12-31T00:00:00Z", "2020-01-02T00:00:00Z", "10y", "UTC", 2, "2010-01-01T00:00:00Z",
			"2020-01-01T00:00:00Z"},
		{"midnight skipped", "2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z", "1d", "America/Sao_Paulo", 2,
			"2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		{"midnight twice", "2024-11-02T04:00:00Z", "2024-11-05T05:00:00Z", "1d", "America/Havana", 3,
			"2024-11-02T04:00:00Z", "2024-11-03T04:00:00Z"},
	} {
		w := windows(t, c.from, c.to, c.gran, c.zone)
		if w.Len() != c.count || w.Start(0) != parseTime(t, c.first).UnixMicro() ||
			w.Start(1) != parseTime(t, c.second).UnixMicro() {
			t.Errorf("%s: got %d windows from %v, %v", c.name, w.Len(), time.UnixMicro(w.Start(0)).UTC(),
				time.UnixMicro(w.Start(1)).UTC())
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"7m", "0m", "0d", "0y", "-1h", "5h", "48h", "99999m", "1Q", "1.5d", "11y", "41q",
		"121mo", "523w", "3661d", "1"} {
		if _, err := ParseGranularity(s); err == nil {
			t.Errorf("granularity %q was accepted", s)
		}
	}
	day := parseTime(t, "2024-01-01T00:00:00Z")
	kolkata, _ := time.LoadLocation("Asia/Kolkata")
	daily, _ := ParseGranularity("1d")
	second, _ := ParseGranularity("1s")
	for name, err := range map[string]error{
		"empty range":       second1(New(day, day, All, time.UTC, time.Minute)),
		"inside a cell":     second1(New(day.Add(time.Second), day.Add(time.Hour), All, time.UTC, time.Minute)),
		"zone inside cell":  second1(New(day, day.AddDate(0, 0, 1), daily, kolkata, time.Hour)),
		"too many windows":  second1(New(day, day.AddDate(1, 0, 0), second, time.UTC, time.Second)),
		"finer than a cell": second1(New(day, day.AddDate(0, 0, 1), second, time.UTC, time.Minute)),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func second1(_ Windows, err error) error { return err }
