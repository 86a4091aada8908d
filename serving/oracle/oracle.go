// Package oracle answers scans the slow and obvious way, from the events themselves. The tests of
// the other packages of serving compare their results with it.
package oracle

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// Catalog declares one view, flights, with every type of dimension and every kind of measure.
func Catalog() *catalog.Catalog {
	return &catalog.Catalog{
		Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"flight": {Name: "flight", Fields: []catalog.Field{
			{Name: "at", Type: catalog.Timestamp}, {Name: "cancelled", Type: catalog.Bool},
			{Name: "delay", Type: catalog.Int64},
			{Name: "miles", Type: catalog.Float64}, {Name: "origin", Type: catalog.String},
			{Name: "tail", Type: catalog.String},
		}}},
		Views: map[string]*catalog.View{"flights": {
			Name: "flights", Event: "flight", Dimensions: []string{"origin", "delay", "cancelled"}, Cell: time.Minute,
			Measures: []catalog.Measure{
				{Name: "n", Kind: catalog.Count}, {Name: "late", Kind: catalog.Sum, Field: "delay"},
				{Name: "mean", Kind: catalog.Avg, Field: "delay"}, {Name: "worst", Kind: catalog.Max, Field: "delay"},
				{Name: "far", Kind: catalog.Sum, Field: "miles"}, {Name: "usual", Kind: catalog.Avg, Field: "miles"},
				{Name: "short", Kind: catalog.Min, Field: "miles"},
				{Name: "first", Kind: catalog.Min, Field: "at"}, {Name: "tails", Kind: catalog.Distinct, Field: "tail"},
				{Name: "lateness", Kind: catalog.Quantile, Field: "delay"},
				{Name: "length", Kind: catalog.Quantile, Field: "miles"},
			},
		}},
	}
}

// Event is an event as a user sees it.
type Event struct {
	// Time is in microseconds since 1970.
	Time int64
	// Fields has values of type string, int64, float64 or bool. Timestamps are int64
	// microseconds. A missing field has no key.
	Fields map[string]any
}

// Strings are the values drawn for string dimensions. They are hard to quote and to escape, and
// one of them is the overflow value.
var Strings = []string{catalog.Overflow, "", "ATL", "ORD", "OR", "ÅR", "it's", `back\slash`, "tab\tnew\nline", `"q"`,
	"nul\x00", "100%", "a_b", "NULL", `\N`, "{p0:String}", "a,b"}

// Miles are the values drawn for float fields. Adding them as float64 would round, and depend on the order. The
// sum of two of them is beyond the range of float64.
var Miles = []float64{0, 0.25, 0.1, 12.34, -0.07, 1e16, 1, -1e16, 1e308, 1e308, -1e308, 1e-300, 5e-324}

// Draw draws up to limit events of the catalog's type within [from, from + minutes).
func Draw(t *rapid.T, from time.Time, minutes, limit int) []Event {
	return draw(t, limit, func(t *rapid.T) int64 {
		return from.Add(time.Duration(rapid.IntRange(0, minutes-1).Draw(t, "minute")) * time.Minute).UnixMicro()
	})
}

// DrawIn draws up to limit events of the catalog's type within the windows, many of them at the windows' ends.
func DrawIn(t *rapid.T, w window.Windows, limit int) []Event {
	return draw(t, limit, func(t *rapid.T) int64 { return windowtest.DrawTime(t, w, time.Minute) })
}

func draw(t *rapid.T, limit int, drawTime func(*rapid.T) int64) []Event {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Event {
		e := Event{drawTime(t), map[string]any{}}
		setOrOmit := func(name string, v any) {
			if rapid.IntRange(0, 4).Draw(t, name+"?") > 0 {
				e.Fields[name] = v
			}
		}
		setOrOmit("origin", rapid.SampledFrom(Strings).Draw(t, "origin"))
		delays := []int64{-3, 0, 5, 1 << 40, math.MinInt64 + 5, math.MaxInt64 - 5}
		setOrOmit("delay", rapid.SampledFrom(delays).Draw(t, "delay"))
		setOrOmit("cancelled", rapid.Bool().Draw(t, "cancelled"))
		setOrOmit("miles", rapid.SampledFrom(Miles).Draw(t, "miles"))
		setOrOmit("at", int64(rapid.IntRange(0, 1000).Draw(t, "at")))
		setOrOmit("tail", fmt.Sprint("N", rapid.IntRange(0, 60).Draw(t, "tail")))
		return e
	}), 0, limit).Draw(t, "events")
}

// Row is a group with its events. A nil key means null.
type Row struct {
	Window int
	Keys   []any
	Events []Event
}

// Same reports whether both are the same group.
func (r *Row) Same(o *Row) bool { return r.Window == o.Window && slices.Equal(r.Keys, o.Keys) }

// Rows groups the events that the scan's conditions keep.
func Rows(scan *query.Scan, events []Event) []*Row {
	var rows []*Row
	for _, e := range events {
		if !Keeps(scan.Where, e) {
			continue
		}
		for _, w := range windows(scan, e) {
			r := &Row{Window: w}
			for _, d := range scan.GroupBy {
				r.Keys = append(r.Keys, e.Fields[d.Name])
			}
			i := slices.IndexFunc(rows, r.Same)
			if i < 0 {
				rows, i = append(rows, r), len(rows)
			}
			rows[i].Events = append(rows[i].Events, e)
		}
	}
	return rows
}

// windows returns the windows that have an event.
func windows(scan *query.Scan, e Event) (out []int) {
	own := windowtest.Index(scan.Windows, e.Time)
	for w := range scan.Windows.Len() {
		if own >= 0 && w >= scan.Overlap.First && own <= w && w < own+max(scan.Overlap.Width, 1) {
			out = append(out, w)
		}
	}
	return out
}

// Overflow counts the events whose place in the answer is unknown.
func Overflow(scan *query.Scan, events []Event) (o query.Overflow) {
	for _, e := range events {
		j := judge(scan.Where, e)
		unknown := !j.must
		for _, d := range scan.GroupBy {
			unknown = unknown || isOverflow(e.Fields[d.Name])
		}
		if windowtest.Index(scan.Windows, e.Time) >= 0 && j.may && unknown {
			o.Events++
			if !j.holds {
				o.LeftOut++
			}
		}
	}
	return o
}

// Measure computes one measure of the row. The result is an int64, a float64 or nil. It is nil where no
// event has a value, and where the result does not fit its type (OutOfRange).
func (r *Row) Measure(m query.Measure) any {
	var values []any
	for _, e := range r.Events {
		if v := e.Fields[m.Field]; v != nil {
			values = append(values, v)
		}
	}
	switch {
	case m.Kind == catalog.Count:
		return int64(len(r.Events))
	case m.Kind == catalog.Distinct:
		set := map[any]bool{}
		for _, v := range values {
			set[v] = true
		}
		return int64(len(set))
	case len(values) == 0:
		return nil
	case m.Kind == catalog.Quantile:
		v, _, _ := r.Quantile(m)
		return v
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		return sum(m, values)
	case m.Type == catalog.Float64:
		return extremum(m.Kind, values, func(v any) float64 { return v.(float64) + 0 })
	}
	return extremum(m.Kind, values, func(v any) int64 { return v.(int64) })
}

// OutOfRange reports whether the measure has values, but is nil because the result does not fit its type.
func (r *Row) OutOfRange(m query.Measure) bool {
	return r.Measure(m) == nil && slices.ContainsFunc(r.Events, func(e Event) bool { return e.Fields[m.Field] != nil })
}

// sum adds numbers with so many bits that nothing is rounded before the end.
func sum(m query.Measure, values []any) any {
	total := new(big.Float).SetPrec(2400)
	for _, v := range values {
		if i, ok := v.(int64); ok {
			total.Add(total, new(big.Float).SetInt64(i))
		} else {
			total.Add(total, big.NewFloat(v.(float64)))
		}
	}
	if m.Kind == catalog.Sum && m.Type == catalog.Int64 {
		if i, accuracy := total.Int64(); accuracy == big.Exact {
			return i
		}
		return nil
	}
	if m.Kind == catalog.Avg {
		total.Quo(total, big.NewFloat(float64(len(values))))
	}
	f, _ := total.Float64()
	if math.IsInf(f, 0) {
		return nil
	}
	return f + 0
}

func extremum[T int64 | float64](kind catalog.MeasureKind, values []any, convert func(any) T) any {
	low := convert(values[0])
	high := convert(values[0])
	for _, v := range values {
		low = min(low, convert(v))
		high = max(high, convert(v))
	}
	if kind == catalog.Min {
		return low
	}
	return high
}

// Compare orders two values of one column. Nulls come last in both directions.
func Compare(a, b any, desc bool) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	case desc:
		return Compare(b, a, false)
	}
	switch x := a.(type) {
	case string:
		return cmp.Compare(x, b.(string))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return cmp.Compare(x, b.(float64))
	case bool:
		switch y := b.(bool); {
		case x && !y:
			return 1
		case y && !x:
			return -1
		}
	}
	return 0
}

// Layer is the layer that Part imitates.
type Layer int

// The layers. Batch gives exact distinct counts with their sets, and Speed gives sketches.
const (
	Batch Layer = iota
	Speed
)

// Part returns what a layer answers if it has exactly these events.
func Part(scan *query.Scan, events []Event, l Layer) *query.Part {
	p := &query.Part{Dims: make([]query.Column, len(scan.GroupBy)), Measures: make([][]query.Acc, len(scan.Measures))}
	for d, dim := range scan.GroupBy {
		p.Dims[d].Type = dim.Type
	}
	p.Overflow = Overflow(scan, events)
	for _, r := range Rows(scan, events) {
		p.Windows = append(p.Windows, int32(r.Window))
		p.Events = append(p.Events, uint64(len(r.Events)))
		for d := range scan.GroupBy {
			appendKey(&p.Dims[d], r.Keys[d])
		}
		for j, m := range scan.Measures {
			p.Measures[j] = append(p.Measures[j], accumulate(m, r, l))
		}
	}
	return p
}

func appendKey(c *query.Column, v any) {
	c.Null = append(c.Null, v == nil)
	if c.Type == catalog.String {
		s, _ := v.(string)
		c.Strings = append(c.Strings, s)
		return
	}
	n, _ := v.(int64)
	if v == true {
		n = 1
	}
	c.Ints = append(c.Ints, n)
}

func accumulate(m query.Measure, r *Row, l Layer) query.Acc {
	if m.Kind == catalog.Count {
		return query.Acc{N: uint64(len(r.Events))}
	}
	var a query.Acc
	var s distinct.Sketch
	var total floatsum.Sum
	var bins quantile.Sketch
	for _, e := range r.Events {
		switch v := e.Fields[m.Field].(type) {
		case string:
			s.Add(distinct.HashString(v))
		case int64:
			a.N++
			bins.Add(quantile.KeyOfInt(v), 1)
			if m.Kind == catalog.Sum || m.Kind == catalog.Avg {
				a.AddWide(v>>63, uint64(v))
			}
		case float64:
			a.N++
			bins.Add(quantile.KeyOfFloat(v), 1)
			total.Add(v)
		}
	}
	extreme := r.Measure(m)
	switch {
	case m.SumsFloats():
		a.Sum = &total
	case m.Kind == catalog.Quantile && a.N > 0:
		a.Bins = &bins
	case m.Kind == catalog.Quantile:
	case m.Kind == catalog.Distinct && l == Batch:
		a.Exact = s.Estimate()
		a.Set = distinct.SetOf(r.Hashes(m))
	case m.Kind == catalog.Distinct:
		a.Sketch = &s
	case extreme == nil || m.Kind == catalog.Sum || m.Kind == catalog.Avg:
	case m.Type == catalog.Float64:
		a.Float = extreme.(float64)
	default:
		a.Lo = uint64(extreme.(int64))
	}
	return a
}
