package realtime

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
)

// The generated events have cells of a minute, buckets of an hour, and times within half a day.
const (
	testCell   = time.Minute
	testBucket = time.Hour
)

var testStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// longDayLag is from testStart to the evening of a day of 25 hours in America. Events that lag by so much
// include the 25th hour.
var longDayLag = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixMicro() - testStart

var (
	wideType = &catalog.EventType{Name: "wide", Fields: []catalog.Field{
		{Name: "b", Type: catalog.Bool}, {Name: "f", Type: catalog.Float64}, {Name: "i", Type: catalog.Int64},
		{Name: "s", Type: catalog.String}, {Name: "t", Type: catalog.Timestamp},
	}}
	// wideTypeBefore is wideType before fields were added: it has no columns for them.
	wideTypeBefore = &catalog.EventType{Name: "wide",
		Fields: []catalog.Field{{Name: "i", Type: catalog.Int64}, {Name: "s", Type: catalog.String}}}
	// wideTypeText is wideType while all of its fields were declared as strings.
	wideTypeText = &catalog.EventType{Name: "wide", Fields: []catalog.Field{
		{Name: "b", Type: catalog.String}, {Name: "f", Type: catalog.String}, {Name: "i", Type: catalog.String},
		{Name: "s", Type: catalog.String}, {Name: "t", Type: catalog.String},
	}}
	slimType = &catalog.EventType{Name: "slim", Fields: []catalog.Field{{Name: "s", Type: catalog.String}}}
	goneType = &catalog.EventType{Name: "gone", Fields: []catalog.Field{{Name: "s", Type: catalog.String}}}
)

type generator struct {
	*rand.Rand
	overflow bool  // whether some values overflow
	lag      int64 // from testStart to the times of events and scans, in microseconds
}

func pick[T any](g generator, values ...T) T { return values[g.IntN(len(values))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g generator) value(name string) any {
	if g.chance(15) {
		return nil
	}
	switch name {
	case "b":
		return g.chance(50)
	case "f":
		return pick(g, 0.1, 1e16, -1e16, 1e308, 5e-324, -1e-300, 1e-9, float64(g.IntN(64)-32)/4)
	case "i":
		return pick[int64](g, math.MaxInt64, math.MinInt64, 0, -1, int64(g.IntN(4)))
	case "t":
		return testStart + int64(g.IntN(1000))
	case "source":
		return pick(g, "east", "west")
	}
	return pick(g, "", "a", "ab", "abc", "b", fmt.Sprint("v", g.IntN(20)))
}

// event makes an event with one of few ids, so that copies in the same bucket, in the next bucket and
// far away are common.
func (g generator) event(partition int) event {
	e := event{tenant: pick(g, "default", "default", "other"), id: fmt.Sprintf("p%d-%d", partition, g.IntN(60)),
		fields: map[string]any{}}
	e.assigned = g.chance(30)
	e.time = testStart + g.lag + int64(len(e.id)*7)*60e6 + int64(g.IntN(40))*600e6 + g.Int64N(60e6)
	for _, f := range []string{"b", "f", "i", "s", "t", "source", "subject"} {
		e.fields[f] = g.value(f)
		if g.overflow && f == "s" && g.chance(10) {
			e.fields[f] = catalog.Overflow
		}
	}
	if g.overflow {
		g.addOverflows(&e)
	}
	return e
}

// addOverflows marks some values as overflowed, or replaces them by the overflow value.
func (g generator) addOverflows(e *event) {
	for _, f := range []string{"i", "s", "source", "subject"} {
		switch {
		case e.fields[f] != nil && g.chance(5):
			e.overflowed = append(e.overflowed, f)
		case f != "i" && g.chance(5):
			e.fields[f] = catalog.Overflow
		}
	}
}

func (g generator) message(t testing.TB, partition int, appended int64) message {
	if g.chance(10) {
		return heartbeat(appended)
	}
	typ := pick(g, wideType, wideType, wideType, wideTypeBefore, wideTypeText, slimType, goneType)
	var events []event
	for range 1 + g.IntN(12) {
		e := g.event(partition)
		if typ == wideTypeBefore {
			g.leaveUndeclared(&e)
		}
		if typ == wideTypeText {
			g.storeText(&e)
		}
		events = append(events, e)
	}
	return newMessage(t, typ, appended, events, 1+g.IntN(2))
}

// leaveUndeclared moves the values of undeclared fields to where ingest keeps them, or removes them.
func (g generator) leaveUndeclared(e *event) {
	kept := map[string]any{}
	for _, f := range []string{"b", "f", "t"} {
		switch v := e.fields[f]; {
		case v == nil:
		case g.chance(50):
			delete(e.fields, f)
		case f == "t":
			kept[f] = time.UnixMicro(v.(int64)).UTC().Format(time.RFC3339Nano)
		default:
			kept[f] = v
		}
	}
	if len(kept) > 0 {
		text, _ := json.Marshal(map[string]any{"data": kept}) // These values encode.
		e.stored = map[string]any{eventbatch.ColExtra: string(text)}
	}
}

// storeText stores the values of an event as texts. Some texts mean nothing in the field's type.
func (g generator) storeText(e *event) {
	e.stored = map[string]any{}
	for _, f := range []string{"b", "f", "i", "t"} {
		v := e.fields[f]
		switch {
		case v == nil:
			e.stored[f] = nil
			continue
		case g.chance(20):
			e.stored[f] = pick(g, "", "n/a", "07")
			e.lost = append(e.lost, f)
			delete(e.fields, f)
			continue
		case f == "t":
			v = time.UnixMicro(v.(int64)).UTC().Format(time.RFC3339Nano)
		}
		e.stored[f] = fmt.Sprint(v)
	}
}

func (g generator) view(name string) *catalog.View {
	v := &catalog.View{Name: name, Event: "wide", Cell: pick(g, testCell, 15*testCell), Dimensions: []string{}}
	for _, d := range []string{"s", "i", "b", "source", "subject"} {
		if g.chance(40) {
			v.Dimensions = append(v.Dimensions, d)
		}
	}
	for _, f := range []catalog.Filter{
		{Field: "i", Op: pick(g, catalog.Lt, catalog.Ge), Values: []any{int64(1)}},
		{Field: "s", Op: pick(g, catalog.In, catalog.NotIn), Values: []any{"a", "v3"}},
		{Field: "f", Op: catalog.Exists, Values: []any{g.chance(50)}},
		{Field: "b", Op: pick(g, catalog.Eq, catalog.Ne), Values: []any{true}},
	} {
		if g.chance(15) {
			v.Where = append(v.Where, f)
		}
	}
	for _, m := range []catalog.Measure{
		{Name: "n", Kind: catalog.Count}, {Name: "sum_i", Kind: catalog.Sum, Field: "i"},
		{Name: "sum_f", Kind: catalog.Sum, Field: "f"},
		{Name: "avg_i", Kind: catalog.Avg, Field: "i"}, {Name: "avg_f", Kind: catalog.Avg, Field: "f"},
		{Name: "min_i", Kind: catalog.Min, Field: "i"}, {Name: "max_f", Kind: catalog.Max, Field: "f"},
		{Name: "min_t", Kind: catalog.Min, Field: "t"}, {Name: "max_t", Kind: catalog.Max, Field: "t"},
		{Name: "d_s", Kind: catalog.Distinct, Field: "s"}, {Name: "d_i", Kind: catalog.Distinct, Field: "i"},
		{Name: "d_f", Kind: catalog.Distinct, Field: "f"}, {Name: "d_b", Kind: catalog.Distinct, Field: "b"},
		{Name: "d_t", Kind: catalog.Distinct, Field: "t"}, {Name: "d_source", Kind: catalog.Distinct, Field: "source"},
		{Name: "q_i", Kind: catalog.Quantile, Field: "i"}, {Name: "q_f", Kind: catalog.Quantile, Field: "f"},
	} {
		if m.Kind == catalog.Count || g.chance(40) {
			v.Measures = append(v.Measures, m)
		}
	}
	return v
}

func (g generator) catalog(views int) *catalog.Catalog {
	c := &catalog.Catalog{Bucket: testBucket, Views: map[string]*catalog.View{},
		Events: map[string]*catalog.EventType{"wide": wideType, "slim": slimType}}
	for i := range views {
		v := g.view(fmt.Sprint("view_", i))
		c.Views[v.Name] = v
	}
	c.Views["slim_view"] = &catalog.View{Name: "slim_view", Event: "slim", Cell: testCell, Dimensions: []string{"s"},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	return c
}

func (g generator) scan(t rapid.TB, c *catalog.Catalog) *query.Scan {
	t.Helper()
	v := c.Views[pick(g, slices.Sorted(maps.Keys(c.Views))...)]
	from := time.UnixMicro(testStart + g.lag).UTC().Add(time.Duration(g.IntN(8)) * time.Hour)
	q := query.Query{View: v.Name, From: from, To: from.Add(time.Duration(1+g.IntN(12)) * time.Hour),
		Granularity: pick(g, "all", "15m", "1h", "1d"), TimeZone: pick(g, "", "America/Chicago")}
	if g.chance(40) {
		g.setDays(&q)
	}
	for _, d := range v.Dimensions {
		if g.chance(50) {
			q.GroupBy = append(q.GroupBy, d)
		}
		if g.chance(30) {
			q.Where = append(q.Where, g.comparison(c.DimensionType(v, d), d))
		}
	}
	if len(v.Dimensions) > 0 && g.chance(40) {
		q.Where = append(q.Where, g.tree(c, v, 3))
	}
	s, err := q.Resolve(c, pick(g, "default", "other", "nobody"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setDays makes the query's windows local days or weeks. The last one ends at the local midnight after the
// events' start, and it is an hour longer than the others where clocks went back.
func (g generator) setDays(q *query.Query) {
	q.TimeZone = pick(g, "America/New_York", "America/Chicago", "America/Los_Angeles", "America/Havana",
		"America/St_Johns", "Asia/Kathmandu")
	loc, err := q.Location()
	if err != nil {
		panic(err)
	}
	y, m, d := time.UnixMicro(testStart + g.lag).In(loc).Date()
	q.Granularity = pick(g, "1d", "1d", "1w")
	q.From = time.Date(y, m, d-pick(g, 1, 2, 6, 13), 0, 0, 0, 0, loc)
	q.To = time.Date(y, m, d+1, 0, 0, 0, 0, loc)
}

// tree returns a condition with at most depth and, or and not inside each other.
func (g generator) tree(c *catalog.Catalog, v *catalog.View, depth int) query.Condition {
	if depth == 0 || g.chance(40) {
		d := pick(g, v.Dimensions...)
		return g.comparison(c.DimensionType(v, d), d)
	}
	if g.chance(25) {
		inner := g.tree(c, v, depth-1)
		return query.Condition{Not: &inner}
	}
	var parts []query.Condition
	for range 1 + g.IntN(3) {
		parts = append(parts, g.tree(c, v, depth-1))
	}
	if g.chance(50) {
		return query.Condition{And: parts}
	}
	return query.Condition{Or: parts}
}

func (g generator) comparison(typ catalog.FieldType, dimension string) query.Condition {
	some := map[catalog.FieldType][]any{
		catalog.String: {"a", "east", "v3", "", catalog.Overflow}, catalog.Int64: {int64(0), int64(-1), int64(3)},
		catalog.Bool: {true, false},
	}[typ]
	one := pick(g, some...)
	c := query.Condition{Dimension: dimension, Op: pick(g, query.Ops...)}
	switch c.Op {
	case query.In, query.NotIn:
		c.Values = []any{pick(g, one, nil), pick(g, some...)}
		return c
	case query.Eq, query.Ne:
		c.Value = pick(g, one, nil)
		return c
	case query.Prefix, query.Suffix, query.Contains:
		if typ == catalog.String {
			c.Value = one
			return c
		}
	case query.Between:
		if typ == catalog.Int64 {
			c.Values = []any{int64(-1), pick(g, int64(-1), int64(2))}
			return c
		}
	case query.Lt, query.Le, query.Gt, query.Ge:
		if typ != catalog.Bool {
			c.Value = one
			return c
		}
	}
	return query.Condition{Dimension: dimension, Op: query.Exists, Value: g.chance(50)}
}

func (g generator) rule() position.CutRule {
	return position.CutRule{Interval: time.Duration(1+g.IntN(20)) * time.Second, Rows: int64(8 + g.IntN(80)),
		Bytes: 1 << 20}
}
