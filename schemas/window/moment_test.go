package window

import (
	"errors"
	"testing"
	"time"
)

// TestMoments reads each form, in zones and at times where it can go wrong.
func TestMoments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, zone, now, want string }{
		{"2024-05-01T10:00:00+02:00", "Asia/Tokyo", "", "2024-05-01T08:00:00Z"},
		{"2024-05-01", "Europe/Berlin", "", "2024-04-30T22:00:00Z"},
		{"2024-03-31", "Asia/Beirut", "", "2024-03-30T22:00:00Z"},  // The clocks skipped midnight.
		{"2011-12-30", "Pacific/Apia", "", "2011-12-30T10:00:00Z"}, // The clocks skipped the day.
		{"2024-05", "America/New_York", "", "2024-05-01T04:00:00Z"},
		{"2024", "UTC", "", "2024-01-01T00:00:00Z"},
		{"2024-05-01 10:00", "Europe/Berlin", "", "2024-05-01T08:00:00Z"},
		{"2024-05-01T10:00:30", "UTC", "", "2024-05-01T10:00:30Z"},
		{"1714557600", "Europe/Berlin", "", "2024-05-01T10:00:00Z"},
		{"1714557600001", "UTC", "", "2024-05-01T10:00:00.001Z"},
		{"0", "UTC", "", "1970-01-01T00:00:00Z"},
		{"now", "UTC", "2024-05-01T10:00:07Z", "2024-05-01T10:00:07Z"},
		{"now-6h", "Europe/Berlin", "2024-03-31T03:00:00Z", "2024-03-30T21:00:00Z"},
		{"now-1d", "Europe/Berlin", "2024-03-31T12:00:00Z", "2024-03-30T13:00:00Z"}, // The same time of the day.
		{"now-1mo", "UTC", "2024-03-31T12:00:00Z", "2024-02-29T12:00:00Z"},
		{"now+1y", "UTC", "2024-02-29T12:00:00Z", "2025-02-28T12:00:00Z"},
		{"today", "America/New_York", "2024-05-01T02:00:00Z", "2024-04-30T04:00:00Z"},
		{"today-1d", "Europe/Berlin", "2024-04-01T10:00:00Z", "2024-03-30T23:00:00Z"},
		{"today+90m", "UTC", "2024-05-01T02:00:00Z", "2024-05-01T01:30:00Z"},
		{"yesterday", "UTC", "2024-03-01T02:00:00Z", "2024-02-29T00:00:00Z"},
		{"this_week", "UTC", "2024-05-05T23:00:00Z", "2024-04-29T00:00:00Z"}, // A Sunday.
		{"last_week", "UTC", "2024-05-06T00:00:00Z", "2024-04-29T00:00:00Z"}, // A Monday.
		{"this_month", "Europe/Berlin", "2024-04-30T22:30:00Z", "2024-04-30T22:00:00Z"},
		{"last_month", "UTC", "2024-01-31T00:00:00Z", "2023-12-01T00:00:00Z"},
		{"this_year-1y", "UTC", "2024-02-29T00:00:00Z", "2023-01-01T00:00:00Z"},
		{"last_year", "UTC", "2024-02-29T00:00:00Z", "2023-01-01T00:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		var now time.Time
		if c.now != "" {
			now = parseTime(t, c.now)
		}
		if got, err := ParseMoment(c.text, loc, now); err != nil || !got.Equal(parseTime(t, c.want)) {
			t.Errorf("%s in %s at %s: got %s, %v, want %s", c.text, c.zone, c.now, got, err, c.want)
		}
	}
	for _, text := range []string{"today+584555y", "now+584542y", "now-999999mo", "this_year-999999y"} {
		if got, err := ParseMoment(text, time.UTC, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); err == nil {
			t.Errorf("%s: got %s, want an error", text, got)
		}
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{"": ErrMoment, "soon": ErrMoment, "today-": ErrMoment, "now-6x": ErrMoment,
		"2024-13": ErrMoment, "2023-02-29": ErrMoment, "NOW": ErrMoment, "this_month+1000000d": ErrMoment,
		"2024-03-31 02:30": ErrSkipped, "2024-10-27T02:30": ErrTwice} {
		if got, err := ParseMoment(text, berlin, time.Time{}); !errors.Is(err, want) {
			t.Errorf("%q: got %s, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "17145576000", "9999999999999"} {
		if got, err := ParseMoment(text, berlin, time.Time{}); err == nil {
			t.Errorf("%s: got %s, want an error", text, got)
		}
	}
}
