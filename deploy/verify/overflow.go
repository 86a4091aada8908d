package verify

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
)

// overflowRule says which values of events below a cut overflow in an answer.
type overflowRule struct {
	byIngest bool // ingest decided, as in the publications before B7
	limit    int
}

// overflowRuleOf returns the rule of publication n. known is false if nothing says which one it was.
func (s *snapshot) overflowRuleOf(n uint64) (rule overflowRule, known bool) {
	for _, p := range s.publications {
		if p.N == n {
			return overflowRule{byIngest: p.byIngest, limit: p.Limit}, true
		}
	}
	return overflowRule{}, n == 0
}

// mayOverflow reports whether a publication says that values of a view overflowed.
func (s *snapshot) mayOverflow(view string) bool {
	return slices.ContainsFunc(s.publications, func(p *publication) bool { return p.overflowed[view] })
}

// overflowedViews returns the views of which values overflowed in a publication, and whether ingest decided it.
func overflowedViews(p *record.Publication) (views map[string]bool, byIngest bool) {
	views = map[string]bool{}
	for name, v := range p.Views {
		views[name] = len(v.Overflowed) > 0
		byIngest = byIngest || v.Reading < record.OverflowReading
	}
	return views, byIngest
}

// held is an event whose place in an answer depends on the answer's cut: below it the publication decides which values
// overflow, and from it on what ingest wrote into the log (B7).
type held struct {
	event
	partition int
	window    int // -1 if the event is in none
	time      int64
}

// holds reports whether an event of the view must be held: one of its dimensions overflows. If values of the view
// overflowed in a publication, all events of the buckets that the answer touches decide which.
func (t *tally) holds(e *event, w int) bool {
	if !t.overflows {
		sentAs := func(dimension string) bool { return overflowed(e.value(dimension)) }
		return w >= 0 && (len(e.overflowing()) > 0 || slices.ContainsFunc(t.scan.View.Dimensions, sentAs))
	}
	bucket := window.Floor(e.b.time(e.i), t.bucket)
	return bucket < t.scan.Windows.To && bucket+t.bucket.Microseconds() > t.scan.Windows.From
}

// hold keeps an event without its rows.
func (t *tally) hold(e *event, w int) {
	h := held{event: event{at: e.at, in: e.in, values: map[string]any{}, over: e.overflowing()},
		partition: e.b.partition, window: w, time: e.b.time(e.i)}
	for _, name := range t.scan.View.Columns() {
		h.values[name] = e.value(name)
	}
	t.held = append(t.held, h)
}

// overflowing returns the dimensions of which ingest found the event's value too many.
func (e *event) overflowing() []string {
	if e.values != nil {
		return e.over
	}
	over := e.b.cols.Field(eventbatch.ColOverflow)
	if over == nil || over.IsNull(e.i) {
		return nil
	}
	return strings.Split(text(over, e.i), ",")
}

// withHeld returns the tally with the held events in the places that they have in an answer with the cut.
func (t *tally) withHeld(cut []uint64, rule overflowRule) *tally {
	if len(t.held) == 0 {
		return t
	}
	all := *t
	all.groups = maps.Clone(t.groups)
	all.copied = map[string]bool{}
	below := func(h *held) bool { return h.at < cut[h.partition] && t.base == nil }
	admitted := t.admitted(below, rule.limit)
	for i := range t.held {
		h := &t.held[i]
		if h.window < 0 {
			continue
		}
		e := h.event
		if below(h) && !rule.byIngest {
			e.over = nil
			for _, d := range t.scan.View.Dimensions {
				if !admitted(d, h) {
					e.over = append(e.over, d)
				}
			}
		}
		before := all.over.Events
		if all.place(&e, h.window); !below(h) {
			all.over.Live += all.over.Events - before
		}
	}
	return &all
}

// admitted returns whether an event's value of a dimension counts as itself (B7), by the events below the cut. Of the
// values in a bucket those do that come first by their first cell, then by value.
func (t *tally) admitted(below func(*held) bool, limit int) func(dimension string, h *held) bool {
	type place struct {
		dimension string
		bucket    int64
	}
	first := map[place]map[any]int64{}
	for i := range t.held {
		h := &t.held[i]
		for _, d := range t.scan.View.Dimensions {
			v := h.values[d]
			if _, isBool := v.(bool); isBool || v == nil || overflowed(v) || !below(h) {
				continue
			}
			p := place{d, window.Floor(h.time, t.bucket)}
			if first[p] == nil {
				first[p] = map[any]int64{}
			}
			cell := window.Floor(h.time, t.scan.View.Cell)
			if at, seen := first[p][v]; !seen || cell < at {
				first[p][v] = cell
			}
		}
	}
	beyond := map[place]map[any]bool{}
	for p, cells := range first {
		values := slices.SortedFunc(maps.Keys(cells), func(a, b any) int {
			return cmp.Or(cmp.Compare(cells[a], cells[b]), compareValues(a, b))
		})
		beyond[p] = map[any]bool{}
		for i, v := range values {
			beyond[p][v] = limit > 0 && i >= limit
		}
	}
	return func(d string, h *held) bool { return !beyond[place{d, window.Floor(h.time, t.bucket)}][h.values[d]] }
}

func compareValues(a, b any) int {
	if s, ok := a.(string); ok {
		return strings.Compare(s, b.(string))
	}
	return cmp.Compare(a.(int64), b.(int64))
}

// dimension returns what views count in a dimension: the value, or the overflow value if there were too many values.
func (e *event) dimension(d query.Dimension) any {
	switch {
	case !slices.Contains(e.overflowing(), d.Name):
		return e.value(d.Name)
	case d.Type == catalog.Int64:
		return int64(catalog.OverflowInt)
	}
	return catalog.Overflow
}
