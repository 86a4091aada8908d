package query

import (
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/window"
)

// Compare names the earlier range with which an answer is compared.
type Compare string

// The earlier ranges.
const (
	PreviousPeriod Compare = "previous_period" // the range before the query's
	PreviousYear   Compare = "previous_year"   // the same range a year earlier
)

const (
	// MaxTrailing is how many windows a rolling window may have.
	MaxTrailing = 2_000
	// MaxUnions is how many windows may be united for all windows of a query with a distinct measure, because the
	// batch layer unites a set for each of them.
	MaxUnions = 1_000_000
)

// Overlap says that a scan's windows have the values of several together. The zero value says that they do not.
type Overlap struct {
	// Width is how many windows each one has: itself and those before it.
	Width int
	// First is the first window with rows. Those before it only count in later ones.
	First int
}

// Span is what a window has of the range that is read, half-open, together with those that it unites.
func (s *Scan) Span(w int) (from, to int64) {
	from, to = s.Windows.Span(w)
	if s.Overlap.Width > 0 {
		from, _ = s.Windows.Span(max(w-s.Overlap.Width+1, 0))
	}
	return from, to
}

// Comparison is the earlier range of a scan.
type Comparison struct {
	Windows window.Windows
	Overlap Overlap
	// Places has, for each window of the scan, the window of Windows that it is compared with, or -1.
	Places []int32
}

// setWindows sets the windows of a scan, and what they have to do with each other.
func (q *Query) setWindows(s *Scan) error {
	loc, err := q.Location()
	if err != nil {
		return err
	}
	g, err := window.ParseGranularity(q.Granularity)
	if err != nil {
		return invalid("granularity", "%s", strings.TrimPrefix(err.Error(), "granularity: "))
	}
	trailing, err := q.overTime(g)
	if err != nil {
		return err
	}
	if q.widen(s.View.Cell); q.IsOpen() {
		return nil
	}
	s.Overlap = Overlap{Width: trailing}
	s.Comparison = nil
	if s.Windows, s.Overlap.First, err = window.Trailing(q.From, q.To, g, trailing, loc, s.View.Cell); err != nil {
		field, msg, _ := strings.Cut(err.Error(), ": ")
		return invalid(field, "%s", msg)
	}
	if q.Cumulative {
		s.Overlap.Width = s.Windows.Len()
	}
	if err := q.checkUnions(s); err != nil || q.Compare == "" {
		return err
	}
	s.Comparison, err = q.comparison(s, g, trailing, loc)
	return err
}

// hasColumn reports whether rows have a member with the name.
func (q *Query) hasColumn(name string) bool {
	return slices.Contains(q.GroupBy, name) || slices.Contains(q.Measures, name) ||
		slices.ContainsFunc(q.Derived, func(d Derived) bool { return d.Name == name })
}

// overTime checks the members that relate windows to each other. It returns how many windows a rolling one has, or 0.
func (q *Query) overTime(g window.Granularity) (int, error) {
	switch {
	case q.Compare != "" && q.Compare != PreviousPeriod && q.Compare != PreviousYear:
		return 0, invalid("compare", "unknown %q; use %s or %s", q.Compare, PreviousPeriod, PreviousYear)
	case q.Compare != "" && q.hasColumn("previous"):
		return 0, invalid("compare", "the answer has its own column previous; leave yours out of group_by and "+
			"measures, and give a derived number another name")
	case q.Compare != "" && q.From.IsZero():
		return 0, invalid("compare", "it needs from, because nothing is before the beginning of the data")
	case q.Cumulative && g.IsAll():
		return 0, invalid("cumulative", "it needs a granularity, such as 1d; one window has no running total")
	case q.Rolling == "":
		return 0, nil
	case q.Totals:
		return 0, invalid("totals", "rolling windows overlap and begin before from, so they have no total; ask for it "+
			"without rolling")
	case q.Cumulative:
		return 0, invalid("rolling", "a query has rolling or cumulative; ask two")
	case g.IsAll():
		return 0, invalid("rolling", "it needs a granularity, such as 1d")
	}
	wide, ok := window.ParseLength(q.Rolling)
	fitting := g.Fitting(wide)
	if !ok {
		return 0, invalid("rolling", "%q is no length of time; use such as %s or %s", q.Rolling, fitting[0], fitting[1])
	}
	n := g.Multiple(wide)
	switch {
	case n == 0:
		return 0, invalid("rolling", "%s is no whole number of windows of %s; use such as %s or %s", wide, g,
			fitting[0], fitting[1])
	case n > MaxTrailing:
		return 0, invalid("rolling", "%s has %d windows of %s; at most %d, so use a coarser granularity", wide, n, g,
			MaxTrailing)
	}
	return n, nil
}

// checkUnions bounds the work of uniting sets of distinct values.
func (q *Query) checkUnions(s *Scan) error {
	n := s.Windows.Len() - s.Overlap.First
	unions := n * s.Overlap.Width
	if q.Cumulative {
		unions = n * (n + 1) / 2
	}
	if unions > MaxUnions && s.HasDistinct() {
		return invalid("granularity", "with distinct measures, the %d windows unite %d windows together; at most %d, "+
			"so use a coarser granularity or a shorter range", n, unions, MaxUnions)
	}
	return nil
}

// HasDistinct reports whether the scan has a distinct measure.
func (s *Scan) HasDistinct() bool {
	for i := range s.Measures {
		if s.Measures[i].Kind == catalog.Distinct {
			return true
		}
	}
	return false
}

// comparison returns the earlier range of a scan.
func (q *Query) comparison(s *Scan, g window.Granularity, trailing int, loc *time.Location) (*Comparison, error) {
	shift := window.PreviousPeriod(q.From, q.To, g, loc)
	if q.Compare == PreviousYear {
		var fits bool
		if shift, fits = window.YearBefore(g); !fits {
			return nil, invalid("compare", "windows of %s do not lie on windows a year earlier; use a granularity of "+
				"at most a day, of weeks, or of months that divide a year", g)
		}
	}
	from := shift.Begin(q.From, loc)
	to := shift.End(q.To, loc)
	switch {
	case to.After(q.From):
		return nil, invalid("compare", "the range is longer than a year; use a shorter one")
	case from.UnixMicro() < window.MinTime:
		return nil, invalid("compare", "the earlier range begins before 1970; use a later from")
	case !from.Before(to):
		return nil, invalid("compare", "clocks did not show the range in the earlier period; use a longer one")
	}
	w, first, err := window.Trailing(from, to, g, trailing, loc, s.View.Cell)
	if err != nil {
		return nil, invalid("compare", "the earlier range: %v", err)
	}
	c := &Comparison{Windows: w, Overlap: Overlap{trailing, first}, Places: make([]int32, s.Windows.Len())}
	c.pair(s, shift, loc)
	if trailing == 0 && g.IsBelowDay() {
		c.joinOdd()
	}
	if q.Cumulative {
		c.Overlap.Width = c.Windows.Len()
	}
	if g.IsAll() {
		c.Places[0] = 0
	}
	return c, nil
}

// pair finds the place of each window. Two windows may not have one, because its events would count twice: an hour that
// clocks show twice is compared once.
func (c *Comparison) pair(s *Scan, shift window.Shift, loc *time.Location) {
	next := int32(0)
	for i := range c.Places {
		c.Places[i] = -1
		if i < s.Overlap.First {
			continue
		}
		at, exists := shift.Window(time.UnixMicro(s.Windows.Start(i)), loc)
		if !exists {
			continue
		}
		if place := int32(c.Windows.Holding(at.UnixMicro())); place >= next {
			c.Places[i] = place
			next = place + 1
		}
	}
}

// longestOdd is longer than what a day of a clock change has more than other days, and shorter than a day.
const longestOdd = 12 * time.Hour

// joinOdd joins the windows that a day of a clock change has more than the day with which it is compared to the window
// before them. So each event of these days is in the earlier values of one row. Whole days that the later range lacks
// stay alone, such as 30 January beside February.
func (c *Comparison) joinOdd() {
	paired := make([]bool, c.Windows.Len())
	for _, place := range c.Places {
		if place >= 0 {
			paired[place] = true
		}
	}
	drop := make([]bool, len(paired))
	for i := 0; i < len(paired); {
		end := i + 1
		for end < len(paired) && paired[end] == paired[i] {
			end++
		}
		from, _ := c.Windows.Span(i)
		if _, to := c.Windows.Span(end - 1); !paired[i] && to-from < longestOdd.Microseconds() {
			for k := i; k < end; k++ {
				drop[k] = true
			}
			if i == 0 && end < len(drop) {
				drop[end] = true // There is none before.
			}
		}
		i = end
	}
	c.Windows = c.Windows.Join(func(i int) bool { return drop[i] })
	places := make([]int32, len(drop))
	for k := 1; k < len(drop); k++ {
		places[k] = places[k-1]
		if !drop[k] {
			places[k]++
		}
	}
	for i, place := range c.Places {
		if place >= 0 {
			c.Places[i] = places[place]
		}
	}
}

// Earlier returns the scan of the earlier range.
func (s *Scan) Earlier() *Scan {
	earlier := *s
	earlier.Windows = s.Comparison.Windows
	earlier.Overlap = s.Comparison.Overlap
	earlier.Comparison = nil
	return &earlier
}

// Whole returns a scan of all measures by windows that do not overlap.
func (s *Scan) Whole() *Scan {
	if s.Overlap.Width == 0 {
		return s
	}
	whole := *s
	whole.Overlap = Overlap{}
	return &whole
}

// Apart returns a scan of the measures whose values in several windows can be added up, by windows that do not
// overlap. The batch layer's distinct counts cannot be added up: Sets asks for them.
func (s *Scan) Apart() *Scan {
	if s.Overlap.Width == 0 {
		return s
	}
	apart := *s
	apart.Overlap = Overlap{}
	apart.Measures = s.measuresThat(false)
	return &apart
}

// Sets returns a scan of the distinct measures by windows that overlap.
func (s *Scan) Sets() *Scan {
	sets := *s
	sets.Measures = s.measuresThat(true)
	return &sets
}

func (s *Scan) measuresThat(areDistinct bool) []Measure {
	var out []Measure
	for i := range s.Measures {
		if (s.Measures[i].Kind == catalog.Distinct) == areDistinct {
			out = append(out, s.Measures[i])
		}
	}
	return out
}

// SetRanges says which ranges an answer covers.
func (q *Query) SetRanges(s *Scan, a *Accuracy) {
	a.Range = q.Covered()
	loc, err := q.Location()
	if err != nil {
		return
	}
	rangeOf := func(w window.Windows) *Range {
		return &Range{time.UnixMicro(w.From).In(loc), time.UnixMicro(w.To).In(loc)}
	}
	if q.Rolling != "" {
		a.Range = rangeOf(s.Windows)
	}
	if s.Comparison != nil {
		a.PreviousRange = rangeOf(s.Comparison.Windows)
	}
}

// Copy returns a part with the rows of another one and more room for rows. It shares the accumulators' contents.
func (p *Part) Copy() *Part {
	out := p.Empty()
	for row, w := range p.Windows {
		out.Append(p, row, w)
	}
	for j := range p.Measures {
		out.Measures[j] = slices.Clone(p.Measures[j])
	}
	return out
}

// Empty returns a part of the same scan without rows.
func (p *Part) Empty() *Part {
	out := &Part{Dims: make([]Column, len(p.Dims)), Measures: make([][]Acc, len(p.Measures)), Overflow: p.Overflow,
		Unconverted: p.Unconverted, Retired: p.Retired}
	for d := range p.Dims {
		out.Dims[d].Type = p.Dims[d].Type
	}
	return out
}

// Append adds a row of another part, with another window and without measures.
func (p *Part) Append(from *Part, row int, w int32) {
	p.Windows = append(p.Windows, w)
	p.Events = append(p.Events, from.Events[row])
	for d := range p.Dims {
		to := &p.Dims[d]
		c := &from.Dims[d]
		if to.Null = append(to.Null, c.IsNull(row)); c.Strings != nil {
			to.Strings = append(to.Strings, c.Strings[row])
		} else {
			to.Ints = append(to.Ints, c.Ints[row])
		}
	}
}
