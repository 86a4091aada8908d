// Package window is recount's only time arithmetic: cells, buckets and the windows
// of a query in any IANA time zone. Both layers group by what it computes, so no
// two of them can disagree about where a day begins.
package window

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // Time zones must not depend on the machine.
)

// Floor returns the start of the width-wide interval that holds t. Cells and
// buckets are such intervals, counted from 1970 in UTC (I6); t may be negative.
func Floor(t int64, width time.Duration) int64 {
	w := width.Microseconds()
	r := t % w
	if r < 0 {
		r += w
	}
	return t - r
}

// MinTime and MaxTime bound event times: years 1970 to 2261, in microseconds since 1970.
var (
	MinTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	MaxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

// MaxWindows is the largest number of windows in one query.
const MaxWindows = 1_000_000

var errWindows = fmt.Errorf("granularity: more than %d windows between from and to; use a coarser one or a shorter "+
	"range", MaxWindows)

// Granularity is the width of a query's windows: a number of minutes or hours
// that divides a day, a day, an ISO week, a month, or all time as one window.
type Granularity struct {
	text   string
	step   time.Duration // below a day
	days   int           // 1 or 7
	months int
}

// All is one window over the whole range.
var All = Granularity{text: "all"}

var granularityFormat = regexp.MustCompile(`^([0-9]{1,4})(s|m|h|d|w|mo)$`)

// ErrGranularity is wrapped by errors about a granularity.
var ErrGranularity = errors.New("granularity: use all, a number of s, m or h that divides a day such as 5m, 15m or " +
	"1h, 1d, 1w or 1mo")

// ParseGranularity reads all, 1m, 5m, 15m, 1h, 1d, 1w, 1mo and other divisors of a day.
func ParseGranularity(s string) (Granularity, error) {
	if s == "all" || s == "" {
		return All, nil
	}
	m := granularityFormat.FindStringSubmatch(s)
	if m == nil {
		return All, fmt.Errorf("%w; not %q", ErrGranularity, s)
	}
	n, _ := strconv.Atoi(m[1])
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}
	step := units[m[2]] * time.Duration(n)
	switch {
	case step > 0 && step < 24*time.Hour && 24*time.Hour%step == 0:
		return Granularity{text: s, step: step}, nil
	case s == "1d", s == "24h":
		return Granularity{text: "1d", days: 1}, nil
	case s == "1w":
		return Granularity{text: s, days: 7}, nil
	case s == "1mo":
		return Granularity{text: s, months: 1}, nil
	}
	return All, fmt.Errorf("%w; not %q", ErrGranularity, s)
}

func (g Granularity) String() string { return g.text }

// IsAll reports whether the granularity is one window over everything.
func (g Granularity) IsAll() bool { return g == All || g.text == "" }

// Windows are the windows of a query: Starts[i] is the first microsecond of window
// i, in ascending order. The first window may begin before From and the last may
// end after To; only events in [From, To) count.
type Windows struct {
	From, To int64   // microseconds since 1970, half-open
	Starts   []int64 // at least one
	step     int64   // when all windows are equally wide
}

// Of returns the windows that hold [from, to). Windows shorter than a day count
// from local midnight, so in a zone with a half-hour offset an hour begins at
// :30 UTC, and the day of a clock change has 23 or 25 of them. Every boundary must
// lie on the cell, or a cell would belong to two windows.
func Of(from, to time.Time, g Granularity, loc *time.Location, cell time.Duration) (Windows, error) {
	w := Windows{From: from.UnixMicro(), To: to.UnixMicro()}
	if !from.Before(to) {
		return w, fmt.Errorf("from: %s is not before to: %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	if Floor(w.From, cell) != w.From || Floor(w.To, cell) != w.To {
		return w, fmt.Errorf("from, to: both must be multiples of the view's cell of %s", cell)
	}
	if g.IsAll() {
		w.Starts = []int64{w.From}
		return w, nil
	}
	if g.step > 0 && g.step%cell != 0 {
		return w, fmt.Errorf("granularity: %s is not a multiple of the view's cell of %s", g, cell)
	}
	if g.step > 0 && (w.To-w.From)/g.step.Microseconds() > MaxWindows {
		return w, errWindows // Before any of them is made.
	}
	for day := g.first(from.In(loc)); day.Before(to); {
		next := g.next(day)
		var err error
		if w.Starts, err = g.split(w.Starts, day, next, w); err != nil {
			return w, err
		}
		day = next
	}
	return w, w.finish(loc, cell)
}

// first is the start of the day, week or month that holds t.
func (g Granularity) first(t time.Time) time.Time {
	y, m, d := t.Date()
	if g.months > 0 {
		d = 1
	}
	if g.days == 7 {
		d -= (int(t.Weekday()) + 6) % 7
	}
	return midnight(y, m, d, t.Location())
}

func (g Granularity) next(t time.Time) time.Time {
	y, m, d := t.Date()
	if g.months > 0 {
		return midnight(y, m+1, 1, t.Location())
	}
	return midnight(y, m, d+max(g.days, 1), t.Location())
}

// midnight is the first instant of a local day. Where clocks jump over midnight,
// time.Date may answer with an instant of the day before, so it is moved to the jump.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	want := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	if t.Day() != want.Day() {
		_, end := t.ZoneBounds()
		return end
	}
	// A zone that falls back over midnight has two midnights; the day begins with the first.
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return t
	}
	_, before := start.Add(-time.Second).Zone()
	_, now := t.Zone()
	earlier := t.Add(time.Duration(now-before) * time.Second)
	if earlier.Before(start) && earlier.Day() == want.Day() {
		return earlier
	}
	return t
}

// split appends the windows of one day, week or month that touch [From, To).
func (g Granularity) split(starts []int64, from, to time.Time, w Windows) ([]int64, error) {
	lo := from.UnixMicro()
	hi := to.UnixMicro()
	step := g.step.Microseconds()
	if step == 0 {
		step = hi - lo
	}
	for s := lo; s < hi && s < w.To; s += step {
		if min(s+step, hi) <= w.From {
			continue
		}
		if len(starts) == MaxWindows {
			return nil, errWindows
		}
		starts = append(starts, s)
	}
	return starts, nil
}

func (w *Windows) finish(loc *time.Location, cell time.Duration) error {
	uniform := true
	for i, s := range w.Starts {
		if Floor(s, cell) != s {
			return fmt.Errorf("time_zone: in %s a window begins at %s, inside a cell of %s; use a zone with offsets "+
				"that are multiples of the cell, or a view with a smaller cell",
				loc, time.UnixMicro(s).UTC().Format(time.RFC3339), cell)
		}
		uniform = uniform && (i < 2 || s-w.Starts[i-1] == w.Starts[1]-w.Starts[0])
	}
	if uniform && len(w.Starts) > 1 {
		w.step = w.Starts[1] - w.Starts[0]
	}
	return nil
}

// Step is the width all windows have in microseconds, or 0 when they differ or there is only one.
func (w Windows) Step() int64 { return w.step }

// Index returns the window that holds t, or -1 when t is outside [From, To).
func (w Windows) Index(t int64) int {
	switch {
	case t < w.From || t >= w.To:
		return -1
	case len(w.Starts) == 1:
		return 0
	case w.step > 0:
		return int((t - w.Starts[0]) / w.step)
	}
	i, found := slices.BinarySearch(w.Starts, t)
	if !found {
		i--
	}
	return i
}
