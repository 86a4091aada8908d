// Package windowtest draws ranges of time from real calendars for tests, and finds their windows the slow and
// obvious way. Ranges drawn from uniform numbers almost never hit what makes windows uneven: clock changes, the
// lengths of months, leap years and dates over which a zone jumped.
package windowtest

import (
	_ "embed"
	"fmt"
	"sort"
	"strings"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/window"
)

//go:embed zones.txt
var zones string

// Zones are the names of the zones whose clocks differ since 1970, as tzdata's zone1970.tab lists them.
var Zones = strings.Fields(zones)

// Granularities are granularities of every kind, without those below a minute.
var Granularities = []string{"all", "1m", "5m", "15m", "30m", "1h", "2h", "3h", "6h", "8h", "12h", "1d", "1w", "1mo",
	"2d", "7d", "10d", "2w", "3w", "2mo", "5mo", "1q", "1y", "2y"}

// Calendar is the part of a query that makes its windows.
type Calendar struct {
	From, To    time.Time
	Granularity string
	Zone        string
}

func (c Calendar) String() string {
	return fmt.Sprintf("from %s to %s by %s in %s", c.From.UTC().Format(time.RFC3339), c.To.UTC().Format(time.RFC3339),
		c.Granularity, c.Zone)
}

// Parse makes a calendar from two RFC 3339 times, a granularity and a zone.
func Parse(from, to, granularity, zone string) (c Calendar) {
	var err error
	if c.From, err = time.Parse(time.RFC3339, from); err != nil {
		panic(err)
	}
	if c.To, err = time.Parse(time.RFC3339, to); err != nil {
		panic(err)
	}
	c.Granularity = granularity
	c.Zone = zone
	return c
}

// LongLast are ranges whose windows begin at equal distances, but whose last window is longer than the others.
func LongLast() []Calendar {
	return []Calendar{
		Parse("2024-04-01T00:00:00Z", "2024-06-01T00:00:00Z", "1mo", "UTC"),
		Parse("2024-04-15T00:00:00Z", "2024-06-01T00:00:00Z", "1mo", "UTC"),
		Parse("2013-10-28T04:00:00Z", "2013-11-04T05:00:00Z", "1d", "America/New_York"),
		Parse("2013-10-21T04:00:00Z", "2013-11-04T05:00:00Z", "1w", "America/New_York"),
		Parse("2024-04-05T13:00:00Z", "2024-04-07T13:30:00Z", "1d", "Australia/Lord_Howe"),
	}
}

// Location is the calendar's time zone. It panics if there is none of that name.
func (c Calendar) Location() *time.Location {
	loc, err := time.LoadLocation(c.Zone)
	if err != nil {
		panic(err)
	}
	return loc
}

// Windows returns the windows of the calendar, as queries make them.
func (c Calendar) Windows(cell time.Duration) (window.Windows, error) {
	g, err := window.ParseGranularity(c.Granularity)
	if err != nil {
		return window.Windows{}, err
	}
	return window.New(c.From, c.To, g, c.Location(), cell)
}

// Draw draws a calendar around a clock change, the turn of a month or a year, a leap day, the first or last
// year, or any other time. The range is up to 5 months long and made of whole cells.
func Draw(t *rapid.T, cell time.Duration) Calendar {
	c := Calendar{Zone: rapid.SampledFrom(Zones).Draw(t, "zone")}
	possible := rapid.SampledFrom(Granularities).Filter(func(g string) bool {
		step, err := time.ParseDuration(g)
		return err != nil || step%cell == 0
	})
	c.Granularity = possible.Draw(t, "granularity")
	loc := c.Location()
	moment := drawMoment(t, loc)
	length := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 180), rapid.IntRange(0, 3*24*60),
		rapid.IntRange(0, 75*24*60))
	c.From = moment.Add(-time.Duration(length.Draw(t, "before")) * time.Minute)
	c.To = moment.Add(time.Duration(length.Draw(t, "after")) * time.Minute)
	if rapid.IntRange(0, 2).Draw(t, "whole days") > 0 {
		y, m, d := c.From.In(loc).Date()
		c.From = time.Date(y, m, d, 0, 0, 0, 0, loc)
		y, m, d = c.To.In(loc).Date()
		c.To = time.Date(y, m, d+1, 0, 0, 0, 0, loc)
	}
	width := cell.Microseconds()
	from := max(window.Floor(c.From.UnixMicro(), cell), window.Floor(window.MinTime+width-1, cell))
	to := min(window.Floor(c.To.UnixMicro()+width-1, cell), window.Floor(window.MaxTime+1, cell))
	from = min(from, to-width)
	c.From = time.UnixMicro(from).UTC()
	c.To = time.UnixMicro(max(to, from+width)).UTC()
	return c
}

func drawMoment(t *rapid.T, loc *time.Location) time.Time {
	year := rapid.OneOf(rapid.SampledFrom([]int{1970, 1972, 2000, 2024, 2100, 2260, 2261}), rapid.IntRange(1970, 2261))
	kinds := []string{"any", "month", "leap day", "change", "change", "change"}
	if len(Changes(loc)) == 0 {
		kinds = kinds[:3]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "moment") {
	case "month":
		month := rapid.IntRange(1, 13).Draw(t, "month")
		return time.Date(year.Draw(t, "year"), time.Month(month), 1, 0, 0, 0, 0, loc)
	case "leap day":
		return time.Date(year.Draw(t, "year"), time.February, 29, 0, 0, 0, 0, loc)
	case "change":
		return rapid.SampledFrom(Changes(loc)).Draw(t, "change")
	}
	return time.UnixMicro(rapid.Int64Range(window.MinTime, window.MaxTime).Draw(t, "time"))
}

// Changes are the clock changes of a zone in the years 1970 to 2037. Later years repeat the last rule.
func Changes(loc *time.Location) (out []time.Time) {
	last := time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)
	for t := time.UnixMicro(window.MinTime).In(loc); ; {
		t = window.OffsetEnd(t)
		if t.IsZero() || !t.Before(last) {
			return out
		}
		out = append(out, t)
	}
}

// Bounds returns the starts of the calendar's windows, and then the end of the last one. It looks at the
// local date of every unit of time. A date begins when it is first seen, and so do the date's week and month.
// A date that comes again, because clocks went back over midnight, does not begin a second time.
func (c Calendar) Bounds(unit time.Duration) (bounds []int64) {
	if c.Granularity == "all" {
		return []int64{c.From.UnixMicro(), c.To.UnixMicro()}
	}
	loc := c.Location()
	n, unitName := c.split()
	back := map[string]int{"d": 1, "w": 7, "mo": 31, "q": 92, "y": 366}[unitName] * n
	t := c.From.AddDate(0, 0, -back-3)
	date := dateOf(t.In(loc))
	begin := t
	step, _ := time.ParseDuration(c.Granularity) // It is 0 for days, weeks and months.
	last := label(date, 0, step, n, unitName)
	for ; ; t = t.Add(unit) {
		if d := dateOf(t.In(loc)); d.After(date) {
			date = d
			begin = t
		}
		next := label(date, t.Sub(begin), step, n, unitName)
		if next == last {
			continue
		}
		last = next
		if !t.After(c.From) {
			bounds = bounds[:0]
		}
		bounds = append(bounds, t.UnixMicro())
		if !t.Before(c.To) {
			return bounds
		}
	}
}

func dateOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// split returns the number and the unit of a granularity.
func (c Calendar) split() (n int, unit string) {
	_, _ = fmt.Sscanf(c.Granularity, "%d%s", &n, &unit) // All has neither.
	return n, unit
}

// label is the name of the window that holds a time: windows of one label are one. The year 0 begins a count of days or
// months that has no negative numbers.
func label(date time.Time, sinceBegin, step time.Duration, n int, unit string) [3]int {
	month := int(date.Month()) - 1
	switch unit {
	case "y":
		return [3]int{(date.Year() - 1970 + 100*n) / n}
	case "q":
		return [3]int{((date.Year()-1970)*4 + month/3 + 100*n) / n}
	case "mo":
		return [3]int{((date.Year()-1970)*12 + month + 100*n) / n}
	case "w":
		return [3]int{(mondays(date) + 1000*n) / n}
	case "d":
		return [3]int{(days(date) + 10_000*n) / n}
	}
	return [3]int{date.Year(), date.YearDay(), int(sinceBegin / step)}
}

// days counts the days since Monday, 1969-12-29.
func days(date time.Time) int { return int(date.Unix()/86_400) + 3 }

// mondays counts the Mondays since 1969-12-29, which is number 0.
func mondays(date time.Time) int {
	sinceMonday := (int(date.Weekday()) + 6) % 7
	return (days(date) - sinceMonday) / 7
}

// Index returns the window that holds t, or -1 outside [From, To). It knows the windows' starts only, so oracles
// that use it do not share window.Windows.Index's division.
func Index(w window.Windows, t int64) int {
	if t < w.From || t >= w.To {
		return -1
	}
	return sort.Search(w.Len(), func(i int) bool { return w.Start(i) > t }) - 1
}

// Starts returns the start of every window.
func Starts(w window.Windows) (out []int64) {
	for i := range w.Len() {
		out = append(out, w.Start(i))
	}
	return out
}

// DrawTime draws a cell in [From, To). Often it is the first or last cell of a window.
func DrawTime(t *rapid.T, w window.Windows, cell time.Duration) int64 {
	i := rapid.OneOf(rapid.Just(0), rapid.Just(w.Len()-1), rapid.IntRange(0, w.Len()-1)).Draw(t, "window")
	from, to := w.Span(i)
	cells := (to - from) / cell.Microseconds()
	n := rapid.OneOf(rapid.Just(int64(0)), rapid.Just(cells-1), rapid.Int64Range(0, cells-1)).Draw(t, "cell")
	return from + n*cell.Microseconds()
}
