package verify

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/schemas/window"
)

// tally is the answer of a query, computed one event after the other.
type tally struct {
	scan   *query.Scan
	base   []uint64 // offsets at which a live answer begins; nil means that everything counts
	filled *filledRange
	bucket time.Duration
	groups map[string]*group
	over   query.Overflow

	overflows bool            // a publication says that values of the view overflowed
	held      []held          // events whose place depends on the cut; they are in no group
	copied    map[string]bool // the groups that are not those of the tally it is made of; nil if all are its own

	unconverted uint64 // events of the buckets that the answer touches
}

// filledRange says that an answer lacks the events below its cut that are before a time (B8).
type filledRange struct {
	from int64
	cut  []uint64
}

// lacks reports whether the answer lacks an event. A nil filledRange lacks none.
func (f *filledRange) lacks(e *event) bool {
	return f != nil && e.at < f.cut[e.b.partition] && e.b.time(e.i) < f.from
}

// group is one row of an answer.
type group struct {
	events   int64
	measures []measure
}

// measure is the state of one measure, in the simplest form.
type measure struct {
	n        int64 // values that are not missing
	sum      big.Int
	float    *big.Float // sum of floats, with so many bits that nothing is rounded
	min, max any        // int64 or float64
	distinct map[uint64]struct{}
	bins     quantile.Sketch
}

// exactBits are enough for a sum of any float64 values, and for its quotient by a number of events.
const exactBits = 2400

var seed = maphash.MakeSeed()

// add counts one event.
func (t *tally) add(e *event) {
	b := e.b
	i := e.i
	if b.eventType != t.scan.View.Event || text(b.tenant, i) != t.scan.Tenant || t.base != nil &&
		e.at < t.base[b.partition] || t.filled.lacks(e) {
		return
	}
	t.countUnconverted(e)
	w := t.scan.Windows.Index(b.time(i))
	if w < 0 && !t.overflows || !t.counted(e) {
		return
	}
	if t.holds(e, w) {
		t.hold(e, w)
		return
	}
	if w >= 0 {
		t.place(e, w)
	}
}

// place counts an event of the view in a window.
func (t *tally) place(e *event, w int) {
	wanted := t.wanted(e)
	if t.unplaced(e) {
		t.over.Events++
		if !wanted {
			t.over.LeftOut++
		}
	}
	if !wanted {
		return
	}
	dims := make([]any, len(t.scan.GroupBy))
	for d, dim := range t.scan.GroupBy {
		dims[d] = e.dimension(dim)
	}
	k := groupKey(t.scan.Windows.Start(w), dims)
	g := t.groups[k]
	if g == nil {
		g = &group{measures: make([]measure, len(t.scan.Measures))}
	} else if t.copied != nil && !t.copied[k] {
		g = g.clone()
	}
	t.groups[k] = g
	if t.copied != nil {
		t.copied[k] = true
	}
	g.events++
	for m := range t.scan.Measures {
		if v := e.value(t.scan.Measures[m].Field); v != nil {
			g.measures[m].add(t.scan.Measures[m].Kind, v)
		}
	}
}

// clone returns a copy that can be changed.
func (g *group) clone() *group {
	c := &group{events: g.events, measures: slices.Clone(g.measures)}
	for i := range c.measures {
		m := &c.measures[i]
		m.sum = *new(big.Int).Set(&g.measures[i].sum)
		if m.float != nil {
			m.float = new(big.Float).Copy(m.float)
		}
		m.distinct = maps.Clone(m.distinct)
		m.bins = quantile.Sketch{}
		m.bins.Merge(&g.measures[i].bins)
	}
	return c
}

// countUnconverted counts an event that lacks a value of the view because it could not be converted.
func (t *tally) countUnconverted(e *event) {
	if e.b.lost == nil || !slices.Contains(e.b.lost.Rows(t.scan.View.Columns()), e.i) {
		return
	}
	bucket := window.Floor(e.b.time(e.i), t.bucket)
	if bucket < t.scan.Windows.To && bucket+t.bucket.Microseconds() > t.scan.Windows.From {
		t.unconverted++
	}
}

// groupKey returns the key of a group: its window's start, and its dimensions with their types.
func groupKey(start int64, dims []any) string {
	var b strings.Builder
	fmt.Fprint(&b, start)
	for _, d := range dims {
		fmt.Fprintf(&b, "|%T %q", d, fmt.Sprint(d))
	}
	return b.String()
}

func (m *measure) add(kind catalog.MeasureKind, v any) {
	m.n++
	switch x := v.(type) {
	case int64:
		m.sum.Add(&m.sum, big.NewInt(x))
	case float64:
		if m.float == nil {
			m.float = new(big.Float).SetPrec(exactBits)
		}
		m.float.Add(m.float, big.NewFloat(x))
	}
	if m.min == nil || less(v, m.min) {
		m.min = v
	}
	if m.max == nil || less(m.max, v) {
		m.max = v
	}
	if kind == catalog.Quantile {
		m.addBin(v)
	}
	if kind == catalog.Distinct {
		if m.distinct == nil {
			m.distinct = map[uint64]struct{}{}
		}
		if v == math.Copysign(0, -1) {
			v = float64(0)
		}
		m.distinct[maphash.String(seed, fmt.Sprint(v))] = struct{}{}
	}
}

func (m *measure) addBin(v any) {
	switch x := v.(type) {
	case int64:
		m.bins.Add(quantile.KeyOfInt(x), 1)
	case float64:
		m.bins.Add(quantile.KeyOfFloat(x), 1)
	}
}

func less(a, b any) bool {
	switch x := a.(type) {
	case int64:
		return x < b.(int64)
	case float64:
		return x < b.(float64)
	case string:
		return x < b.(string)
	}
	return false
}

// counted reports whether the event passes the view's filter.
func (t *tally) counted(e *event) bool {
	for _, f := range t.scan.View.Where {
		if !holds(string(f.Op), e.value(f.Field), f.Values) {
			return false
		}
	}
	return true
}

// unplaced reports whether the answer cannot tell to which row the event belongs (query.Overflow).
func (t *tally) unplaced(e *event) bool {
	j := judge(t.scan.Where, e)
	is := !j.must
	for _, d := range t.scan.GroupBy {
		is = is || overflowed(e.dimension(d))
	}
	return is && j.may
}

func overflowed(v any) bool { return v == catalog.Overflow || v == int64(catalog.OverflowInt) }

// wanted reports whether the event fulfils the query's conditions.
func (t *tally) wanted(e *event) bool { return judge(t.scan.Where, e).holds }

// judgement says whether conditions hold for an event as it is counted, and whether they may hold and certainly hold
// for the values in place of the overflowed ones.
type judgement struct{ holds, may, must bool }

// judge evaluates conditions as they are written. All of them have to hold.
func judge(where []query.Condition, e *event) judgement {
	all := judgement{true, true, true}
	for i := range where {
		j := judgeOne(&where[i], e)
		all = judgement{all.holds && j.holds, all.may && j.may, all.must && j.must}
	}
	return all
}

func judgeOne(c *query.Condition, e *event) judgement {
	switch {
	case c.Not != nil:
		j := judgeOne(c.Not, e)
		return judgement{!j.holds, !j.must, !j.may}
	case c.And != nil:
		return judge(c.And, e)
	case c.Or != nil:
		some := judgement{}
		for i := range c.Or {
			j := judgeOne(&c.Or[i], e)
			some = judgement{some.holds || j.holds, some.may || j.may, some.must || j.must}
		}
		return some
	}
	v := e.dimension(query.Dimension{Name: c.Dimension, Type: c.Type})
	is := holds(string(c.Op), v, c.Values)
	if c.Op != query.Exists && overflowed(v) {
		return judgement{is, true, false}
	}
	return judgement{is, is, is}
}

// holds defines every operator. v is nil if the field is missing.
func holds(op string, v any, values []any) bool {
	in := false
	for _, x := range values {
		in = in || v == x
	}
	switch op {
	case "eq", "in":
		return in
	case "ne", "not_in":
		return !in
	case "exists":
		return (v != nil) == values[0].(bool)
	}
	if v == nil {
		return false
	}
	text, _ := v.(string)
	switch op {
	case "prefix":
		return strings.HasPrefix(text, values[0].(string))
	case "suffix":
		return strings.HasSuffix(text, values[0].(string))
	case "contains":
		return strings.Contains(text, values[0].(string))
	case "between":
		return !less(v, values[0]) && !less(values[1], v)
	}
	return map[string]bool{
		"lt": less(v, values[0]), "le": !less(values[0], v), "gt": less(values[0], v), "ge": !less(v, values[0])}[op]
}

// value returns a column's value: string, int64 (timestamps are microseconds), float64, bool, or nil.
func (e *event) value(name string) any {
	if name == "" || e.values != nil {
		return e.values[name]
	}
	col := e.b.cols.Field(name)
	if col == nil || col.IsNull(e.i) {
		return nil
	}
	return valueOf(col, e.i)
}

func valueOf(col arrow.Array, i int) any {
	switch c := col.(type) {
	case *array.Int64:
		return c.Value(i)
	case *array.Timestamp:
		return int64(c.Value(i))
	case *array.Float64:
		return c.Value(i)
	case *array.Boolean:
		return c.Value(i)
	case *array.String, *array.Dictionary:
		return text(c, i)
	}
	return nil
}
