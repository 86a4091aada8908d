package window_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

func parseIn(t *testing.T, text, zone string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, ":") {
		text += " 00:00"
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestEarlierRanges shows which range is compared with which.
func TestEarlierRanges(t *testing.T) {
	t.Parallel()
	const berlin = "Europe/Berlin"
	for _, c := range []struct {
		name, zone, by string
		year           bool
		from, to       string
		wantFrom       string
		wantTo         string
	}{
		{"a month is of the calendar", berlin, "all", false,
			"2024-03-01", "2024-04-01", "2024-02-01", "2024-03-01"},
		{"so it is by day", berlin, "1d", false,
			"2024-03-01", "2024-04-01", "2024-02-01", "2024-03-01"},
		{"a quarter", berlin, "1mo", false,
			"2024-01-01", "2024-04-01", "2023-10-01", "2024-01-01"},
		{"a day of 23 hours", berlin, "all", false,
			"2024-03-31", "2024-04-01", "2024-03-30", "2024-03-31"},
		{"a week with a clock change", berlin, "1h", false,
			"2024-03-28", "2024-04-04", "2024-03-21", "2024-03-28"},
		{"six hours", berlin, "all", false,
			"2024-05-01 06:00", "2024-05-01 12:00", "2024-05-01", "2024-05-01 06:00"},
		{"whole windows of an hour", berlin, "1h", false,
			"2024-05-01", "2024-05-01 05:30", "2024-04-30 18:00", "2024-04-30 23:30"},
		{"whole windows of a day", berlin, "1d", false,
			"2024-05-01", "2024-05-02 12:00", "2024-04-29", "2024-04-30 12:00"},
		{"whole weeks", berlin, "1w", false,
			"2024-05-06", "2024-05-16", "2024-04-22", "2024-05-02"},
		{"whole months", berlin, "1mo", false,
			"2024-03-10", "2024-04-20", "2024-01-10", "2024-02-20"},
		{"a month from its last day", berlin, "1mo", false,
			"2024-03-31", "2024-04-15", "2024-02-29", "2024-03-15"},
		{"a year earlier", berlin, "1d", true,
			"2024-03-01", "2024-04-01", "2023-03-01", "2023-04-01"},
		{"weeks have the same days", berlin, "1w", true,
			"2024-05-06", "2024-05-20", "2023-05-08", "2023-05-22"},
		{"29 February begins as 28", berlin, "all", true,
			"2024-02-29", "2024-03-01", "2023-02-28", "2023-03-01"},
		{"29 February ends as 1 March", berlin, "all", true,
			"2024-02-28", "2024-02-29", "2023-02-28", "2023-03-01"},
		{"a leap year", berlin, "1mo", true,
			"2024-01-01", "2025-01-01", "2023-01-01", "2024-01-01"},
		{"six hours where clocks changed", berlin, "6h", false,
			"2024-10-28", "2024-11-04 12:00", "2024-10-20", "2024-10-27 11:00"},
		{"six hours where they did not", berlin, "6h", false,
			"2024-05-01", "2024-05-01 12:00", "2024-04-30 12:00", "2024-05-01"},
		{"a year earlier by six hours", "America/New_York", "6h", true,
			"2024-03-01", "2024-03-12 06:00", "2023-03-01", "2023-03-12 07:00"},
		{"no midnight", "America/Santiago", "1d", false,
			"2022-09-11 01:00", "2022-09-12", "2022-09-10", "2022-09-11 01:00"},
		{"months in a zone without change", "Asia/Kathmandu", "all", false,
			"2024-03-01", "2024-04-01", "2024-02-01", "2024-03-01"},
	} {
		from := parseIn(t, c.from, c.zone)
		to := parseIn(t, c.to, c.zone)
		g, err := window.ParseGranularity(c.by)
		if err != nil {
			t.Fatal(err)
		}
		shift := window.PreviousPeriod(from, to, g, from.Location())
		if c.year {
			shift, _ = window.YearBefore(g)
		}
		gotFrom := shift.Begin(from, from.Location())
		gotTo := shift.End(to, from.Location())
		if !gotFrom.Equal(parseIn(t, c.wantFrom, c.zone)) || !gotTo.Equal(parseIn(t, c.wantTo, c.zone)) {
			t.Errorf("%s: got %s to %s", c.name, gotFrom.In(from.Location()), gotTo.In(from.Location()))
		}
	}
}

// TestShiftedWindows shows which window is compared with which.
func TestShiftedWindows(t *testing.T) {
	t.Parallel()
	const berlin = "Europe/Berlin"
	day, _ := window.ParseGranularity("1d")
	year, _ := window.YearBefore(day)
	march := parseIn(t, "2024-03-01", berlin)
	april := parseIn(t, "2024-04-04", berlin)
	february := window.PreviousPeriod(march, parseIn(t, "2024-04-01", berlin), day, march.Location())
	week := window.PreviousPeriod(april, parseIn(t, "2024-04-11", berlin), day, march.Location())
	for name, c := range map[string]struct {
		shift    window.Shift
		at, want string
	}{
		"29 February has none":              {year, "2024-02-29 00:00", ""},
		"1 March has 1 March":               {year, "2024-03-01 00:00", "2023-03-01 00:00"},
		"29 March has 29 February":          {february, "2024-03-29 00:00", "2024-02-29 00:00"},
		"30 March has none":                 {february, "2024-03-30 00:00", ""},
		"the hour keeps its name":           {week, "2024-04-05 10:00", "2024-03-29 10:00"},
		"an hour that clocks skip has none": {week, "2024-04-07 02:00", ""},
	} {
		at := parseIn(t, c.at, berlin)
		got, exists := c.shift.Window(at, at.Location())
		if exists != (c.want != "") || exists && !got.Equal(parseIn(t, c.want, berlin)) {
			t.Errorf("%s: got %s, %t", name, got.In(at.Location()), exists)
		}
	}
	for g, want := range map[string]bool{"all": true, "1h": true, "1d": true, "1w": true, "4w": true, "1mo": true,
		"1q": true, "1y": true, "5mo": false, "2y": false, "10d": false} {
		parsed, err := window.ParseGranularity(g)
		if _, fits := window.YearBefore(parsed); err != nil || fits != want {
			t.Errorf("%s lies on windows a year earlier: %t, want %t, %v", g, fits, want, err)
		}
	}
}

// TestPreviousPeriod: the earlier range is before the later one. Where days or months are not uneven, it is the last
// one by whole windows that is, so the range after it would reach into the later one.
func TestPreviousPeriod(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, time.Minute)
		g, err := window.ParseGranularity(c.Granularity)
		if err != nil {
			t.Fatal(err)
		}
		loc := c.Location()
		shift := window.PreviousPeriod(c.From, c.To, g, loc)
		from := shift.Begin(c.From, loc)
		to := shift.End(c.To, loc)
		if !from.Before(to) {
			t.Skip("clocks showed the ends in another order")
		}
		if to.After(c.From) {
			t.Fatalf("%s: the earlier range is from %s to %s", c, from, to)
		}
		const day = 24 * time.Hour
		if length := c.To.Sub(c.From); to.Sub(from) > length+4*day || c.From.Sub(to) > length+732*day {
			t.Fatalf("%s: the earlier range is from %s to %s", c, from, to)
		}
		w, err := c.Windows(time.Minute)
		if err != nil {
			t.Skip(err)
		}
		earlier := c
		earlier.From = from
		earlier.To = to
		before, err := earlier.Windows(time.Minute)
		if err != nil || g.IsAll() {
			t.Skip(err)
		}
		step, err := time.ParseDuration(c.Granularity)
		if err == nil && step > time.Hour && w.Start(0) == w.From && before.Start(0) != before.From {
			t.Fatalf("%s: the earlier range begins inside of a window: %s", c, earlier)
		}
		compared := 0
		for i := range w.Len() {
			at, exists := shift.Window(time.UnixMicro(w.Start(i)), loc)
			if exists && before.Holding(at.UnixMicro()) >= 0 {
				compared++
			}
		}
		if uneven := 4 + w.Len()/8; compared < w.Len()-uneven {
			t.Fatalf("%s: %d of %d windows are compared with one of %s", c, compared, w.Len(), earlier)
		}
	})
}
