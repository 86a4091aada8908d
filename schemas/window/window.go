// Package window is recount's only time arithmetic: cells, buckets and the windows
// of a query in any IANA time zone. Both layers group by what it computes, so no
// two of them can disagree about where a day begins.
package window

import (
	"cmp"
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

// Granularity is the width of a query's windows: a number of minutes or hours that divides a day; a number of days,
// weeks, months, quarters or years; or all time as one window.
//
// Windows of several days or months are counted from a fixed date, and not from the range of the query. So a window
// is the same in every query, and neighbouring ranges have no windows that overlap.
type Granularity struct {
	text   string
	step   time.Duration // below a day
	days   int           // of a window of days or weeks, counted from firstMonday
	months int           // of a window of months, quarters or years, counted from January 1970
}

// firstMonday is the Monday of the week that has 1970-01-01. So 7d is 1w, and 2w has whole weeks.
var firstMonday = time.Date(1969, 12, 29, 0, 0, 0, 0, time.UTC)

// MaxYears is the length of the longest window but all.
const MaxYears = 10

// All is one window over the whole range.
var All = Granularity{text: "all"}

var granularityFormat = regexp.MustCompile(`^([0-9]{1,4})(s|m|h|d|w|mo|q|y)$`)

// ErrGranularity is wrapped by errors about a granularity.
var ErrGranularity = errors.New("granularity: use all, a number of s, m or h that divides a day such as 5m, 15m or " +
	"1h, or a number of d, w, mo, q or y up to ten years such as 1d, 2w, 1mo, 1q or 1y")

// ParseGranularity reads all, 5m, 1h, 1d, 2w, 3mo, 1q, 1y and the like.
func ParseGranularity(s string) (Granularity, error) {
	switch s {
	case "all", "":
		return All, nil
	case "24h":
		return Granularity{text: "1d", days: 1}, nil
	}
	g, ok := parseLength(s)
	if !ok || g.step > 0 && (g.step >= 24*time.Hour || 24*time.Hour%g.step > 0) {
		return All, fmt.Errorf("%w; not %q", ErrGranularity, s)
	}
	return g, nil
}

// ParseLength reads a length of several windows, such as 7d, 18h or 75m. It need not divide a day: 48h are 2d.
func ParseLength(s string) (Granularity, bool) {
	g, ok := parseLength(s)
	if g.step%(24*time.Hour) == 0 {
		g.days += int(g.step / (24 * time.Hour))
		g.step = 0
	}
	return g, ok
}

func parseLength(s string) (Granularity, bool) {
	m := granularityFormat.FindStringSubmatch(s)
	if m == nil {
		return All, false
	}
	n, _ := strconv.Atoi(m[1]) // The pattern has bounded it.
	g := Granularity{text: s,
		step:   map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[m[2]] * time.Duration(n),
		days:   map[string]int{"d": 1, "w": 7}[m[2]] * n,
		months: map[string]int{"mo": 1, "q": 3, "y": 12}[m[2]] * n}
	return g, n > 0 && g.days <= 366*MaxYears && g.months <= 12*MaxYears
}

func (g Granularity) String() string { return g.text }

// IsAll reports whether the granularity is one window over everything.
func (g Granularity) IsAll() bool { return g == All || g.text == "" }

// IsBelowDay reports whether several windows are in a day.
func (g Granularity) IsBelowDay() bool { return g.step > 0 }

// Windows are the windows of a query, without gaps, in ascending order. The first window may begin before
// From and the last may end after To. Only events in [From, To) count.
type Windows struct {
	From, To int64 // microseconds since 1970, half-open
	// bounds has one element more than there are windows: window i is [bounds[i], bounds[i+1]).
	bounds []int64
	// runs covers the windows. Index and the layers' SQL divide by the width of a run and by no other number.
	runs []Run
}

// Run is a run of neighbouring windows that have one width. The range of a run ends where the next run starts
// or, for the last run, where the last window ends.
type Run struct {
	First int   // index of the first window
	Start int64 // start of the first window
	Width int64 // of each window, in microseconds
}

// New returns the windows that hold [from, to). Windows shorter than a day count
// from local midnight, so in a zone with a half-hour offset an hour begins at
// :30 UTC, and the day of a clock change has 23 or 25 of them. Every boundary must
// lie on the cell, or a cell would belong to two windows.
func New(from, to time.Time, g Granularity, loc *time.Location, cell time.Duration) (Windows, error) {
	w := Windows{From: from.UnixMicro(), To: to.UnixMicro()}
	if !from.Before(to) {
		return w, fmt.Errorf("from: %s is not before to: %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	if Floor(w.From, cell) != w.From || Floor(w.To, cell) != w.To {
		return w, fmt.Errorf("from, to: both must be multiples of the view's cell of %s", cell)
	}
	if g.step > 0 && g.step%cell != 0 {
		return w, fmt.Errorf("granularity: %s is not a multiple of the view's cell of %s", g, cell)
	}
	if g.step > 0 && (w.To-w.From)/g.step.Microseconds() > MaxWindows {
		return w, errWindows // Before any of them is made.
	}
	if err := w.divide(g, loc); err != nil {
		return w, err
	}
	w.findRuns()
	return w, w.checkStarts(loc, cell)
}

// Even returns windows of one width that hold [from, to), in microseconds since 1970. The first begins at from, and the
// last may end after to. There must be at most MaxWindows.
func Even(from, to int64, width time.Duration) Windows {
	w := Windows{From: from, To: to, bounds: []int64{from}}
	for last := from; last < to; w.bounds = append(w.bounds, last) {
		last += width.Microseconds()
	}
	w.findRuns()
	return w
}

// Sparse returns windows over [from, to), in microseconds since 1970: windows of one width in the spans, and one window
// for each gap before, between and after them. Spans are ascending, do not touch each other, lie in [from, to), and
// consist of whole windows. There must be at most MaxWindows.
func Sparse(from, to int64, spans [][2]int64, width time.Duration) Windows {
	w := Windows{From: from, To: to, bounds: []int64{from}}
	for _, s := range spans {
		if last := w.bounds[len(w.bounds)-1]; s[0] > last {
			w.bounds = append(w.bounds, s[0])
		}
		for at := s[0]; at < s[1]; w.bounds = append(w.bounds, at) {
			at += width.Microseconds()
		}
	}
	if last := w.bounds[len(w.bounds)-1]; last < to {
		w.bounds = append(w.bounds, to)
	}
	w.findRuns()
	return w
}

// divide sets the bounds.
func (w *Windows) divide(g Granularity, loc *time.Location) error {
	if g.IsAll() {
		w.bounds = []int64{w.From, w.To}
		return nil
	}
	date := g.firstDate(time.UnixMicro(w.From).In(loc))
	for start := startOf(date, loc); start < w.To; {
		date = g.nextDate(date)
		end := startOf(date, loc)
		if err := w.split(start, end, g.step); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// firstDate is the first date of the local day or of the days or months that hold t. A date is its midnight in UTC.
func (g Granularity) firstDate(t time.Time) time.Time {
	y, m, d := t.Date()
	if g.months > 0 {
		month := (y-1970)*12 + int(m) - 1
		return time.Date(1970, time.Month(1+month-remainder(month, g.months)), 1, 0, 0, 0, 0, time.UTC)
	}
	date := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return date.AddDate(0, 0, -remainder(int(date.Sub(firstMonday)/(24*time.Hour)), max(g.days, 1)))
}

// remainder is how much n is above a multiple of width. The year 1969 has negative n.
func remainder(n, width int) int { return (n%width + width) % width }

func (g Granularity) nextDate(date time.Time) time.Time {
	if g.months > 0 {
		return date.AddDate(0, g.months, 0)
	}
	return date.AddDate(0, 0, max(g.days, 1))
}

// startOf is the first instant at which the local date is the given date or a later one. It is not always
// midnight: clocks may jump over midnight or over whole dates. Where clocks go back over midnight, the date
// begins with the first of its two midnights.
func startOf(date time.Time, loc *time.Location) int64 {
	t := date.AddDate(0, 0, -1).In(loc) // Offsets are below a day, so the local date is an earlier one here.
	for {
		_, offset := t.Zone()
		start := date.Add(-time.Duration(offset) * time.Second)
		if start.Before(t) {
			start = t
		}
		end := OffsetEnd(t)
		if end.IsZero() || start.Before(end) {
			return start.UnixMicro()
		}
		t = end
	}
}

// OffsetEnd returns a time after t until which the offset of t's zone holds, or the zero time if it holds for ever.
//
// In years after the listed changes of a zone, Go ends the last period of a leap year a day early, so on December 31 it
// ends before t (golang/go#81583). No rule of a zone changes its clocks there.
func OffsetEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if end.IsZero() || end.After(t) {
		return end
	}
	return time.Date(t.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC).In(t.Location())
}

// split appends the windows that touch [From, To), of a day or of several days or months. Without a step, it is one.
// A date over which clocks jump has none.
func (w *Windows) split(start, end int64, step time.Duration) error {
	width := step.Microseconds()
	if width == 0 {
		width = end - start
	}
	for s := start; s < end && s < w.To; s += width {
		next := min(s+width, end)
		if next <= w.From {
			continue
		}
		if w.Len() == MaxWindows {
			return errWindows
		}
		if len(w.bounds) == 0 {
			w.bounds = append(w.bounds, s)
		}
		w.bounds = append(w.bounds, next)
	}
	return nil
}

// findRuns sets the runs from the bounds.
func (w *Windows) findRuns() {
	for i := range w.Len() {
		width := w.bounds[i+1] - w.bounds[i]
		if n := len(w.runs); n == 0 || w.runs[n-1].Width != width {
			w.runs = append(w.runs, Run{First: i, Start: w.bounds[i], Width: width})
		}
	}
}

// checkStarts refuses windows that begin inside a cell.
func (w *Windows) checkStarts(loc *time.Location, cell time.Duration) error {
	for i := range w.Len() {
		if s := w.bounds[i]; Floor(s, cell) != s {
			return fmt.Errorf("time_zone: in %s a window begins at %s, inside a cell of %s; use a zone with offsets "+
				"that are multiples of the cell, or a view with a smaller cell",
				loc, time.UnixMicro(s).UTC().Format(time.RFC3339), cell)
		}
	}
	return nil
}

// Len is the number of windows. Windows without an error have at least one.
func (w Windows) Len() int { return max(len(w.bounds)-1, 0) }

// Start is the first microsecond of window i.
func (w Windows) Start(i int) int64 { return w.bounds[i] }

// Span is the part of window i that is in [From, To), half-open.
func (w Windows) Span(i int) (from, to int64) {
	return max(w.bounds[i], w.From), min(w.bounds[i+1], w.To)
}

// Runs are the windows as runs of one width, in ascending order. The caller must not change them.
func (w Windows) Runs() []Run { return w.runs }

// Index returns the window that holds t, or -1 when t is outside [From, To).
func (w Windows) Index(t int64) int {
	if t < w.From || t >= w.To {
		return -1
	}
	r := &w.runs[0]
	if len(w.runs) > 1 {
		i, found := slices.BinarySearchFunc(w.runs, t, func(r Run, t int64) int { return cmp.Compare(r.Start, t) })
		if !found {
			i--
		}
		r = &w.runs[i]
	}
	return r.First + int((t-r.Start)/r.Width)
}
