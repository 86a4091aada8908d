package realtime

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// oracle answers scans by going through all events again. It is the definition, not an algorithm.
type oracle struct {
	log    *memLog
	bucket time.Duration
}

// group is one row of an answer, in a form that can be compared.
type group struct {
	Key      string
	Events   uint64
	Measures []string
}

// unconverted returns how many events of [cut, through) that are not copies lack a value of the view because it could
// not be converted, in the buckets that the scan touches.
func (o oracle) unconverted(s *query.Scan, cut, through []position.Offset) (n uint64) {
	for p, messages := range o.log.partitions {
		var before []typedEvent
		for i, m := range messages {
			seq := uint64(i) + 1
			for _, e := range m.events {
				bucket := window.Floor(e.time, o.bucket)
				if seq >= cut[p].Seq && seq < through[p].Seq && m.eventType == s.View.Event && e.tenant == s.Tenant &&
					bucket < s.Windows.To && bucket+o.bucket.Microseconds() > s.Windows.From &&
					slices.ContainsFunc(e.lost, func(f string) bool { return slices.Contains(s.View.Columns(), f) }) &&
					!o.duplicate(before, typedEvent{m.eventType, e}) {
					n++
				}
				before = append(before, typedEvent{m.eventType, e})
			}
		}
	}
	return n
}

// answer returns the answer for [cut, through) of every partition.
func (o oracle) answer(s *query.Scan, cut []position.Offset, through []position.Offset) ([]group, query.Overflow,
	uint64) {
	rows := map[string][]event{}
	over := query.Overflow{}
	pending := uint64(0)
	for p, messages := range o.log.partitions {
		var before []typedEvent
		for i, m := range messages {
			seq := uint64(i) + 1
			for _, e := range m.events {
				in := seq >= cut[p].Seq && seq < through[p].Seq
				if in {
					pending++
				}
				w := windowtest.Index(s.Windows, e.time)
				if in && w >= 0 && m.eventType == s.View.Event && e.tenant == s.Tenant &&
					!o.duplicate(before, typedEvent{m.eventType, e}) && passesFilters(s, e) {
					over.Add(overflow(s, e))
					if passesConditions(s, e) {
						key := groupKey(s, w, e)
						rows[key] = append(rows[key], e)
					}
				}
				before = append(before, typedEvent{m.eventType, e})
			}
		}
	}
	var out []group
	for key, events := range rows {
		g := group{Key: key, Events: uint64(len(events))}
		for _, m := range s.Measures {
			g.Measures = append(g.Measures, naiveMeasure(m, events))
		}
		out = append(out, g)
	}
	return sortGroups(out), over, pending
}

func sortGroups(g []group) []group {
	slices.SortFunc(g, func(a, b group) int { return cmp.Compare(a.Key, b.Key) })
	return g
}

type typedEvent struct {
	eventType string
	event
}

// duplicate applies I2 and I3 as they are written, within one event type.
func (o oracle) duplicate(before []typedEvent, e typedEvent) bool {
	bucket := func(e typedEvent) int64 { return e.time / o.bucket.Microseconds() }
	return slices.ContainsFunc(before, func(b typedEvent) bool {
		if b.eventType != e.eventType || b.tenant != e.tenant || b.id != e.id {
			return false
		}
		apart := bucket(b) - bucket(e)
		return apart == 0 || e.assigned && b.assigned && (apart == 1 || apart == -1)
	})
}

// passesFilters evaluates the view's filters on one event.
func passesFilters(s *query.Scan, e event) bool {
	for _, f := range s.View.Where {
		if !evaluate(string(f.Op), e.column(f.Field), f.Values) {
			return false
		}
	}
	return true
}

// overflow returns what an event adds to query.Overflow: nothing if its group and conditions are known.
func overflow(s *query.Scan, e event) (o query.Overflow) {
	j := judge(s.Where, e)
	unknown := !j.must
	for _, d := range s.GroupBy {
		unknown = unknown || overflowed(e.dimension(d.Name))
	}
	if j.may && unknown {
		o.Events = 1
		if !j.holds {
			o.LeftOut = 1
		}
	}
	return o
}

func overflowed(v any) bool { return v == catalog.Overflow || v == int64(catalog.OverflowInt) }

// judgement says whether conditions hold for an event as it is counted, and whether they may hold and certainly hold
// for the values in place of the overflowed ones.
type judgement struct{ holds, may, must bool }

// judge evaluates conditions as they are written. All of them have to hold.
func judge(where []query.Condition, e event) judgement {
	all := judgement{true, true, true}
	for _, c := range where {
		j := judgeOne(c, e)
		all = judgement{all.holds && j.holds, all.may && j.may, all.must && j.must}
	}
	return all
}

func judgeOne(c query.Condition, e event) judgement {
	switch {
	case c.Not != nil:
		j := judgeOne(*c.Not, e)
		return judgement{!j.holds, !j.must, !j.may}
	case c.And != nil:
		return judge(c.And, e)
	case c.Or != nil:
		some := judgement{}
		for _, part := range c.Or {
			j := judgeOne(part, e)
			some = judgement{some.holds || j.holds, some.may || j.may, some.must || j.must}
		}
		return some
	}
	v := e.dimension(c.Dimension)
	is := evaluate(string(c.Op), v, c.Values)
	if c.Op != query.Exists && overflowed(v) {
		return judgement{is, true, false}
	}
	return judgement{is, is, is}
}

// passesConditions evaluates the scan's conditions on one event.
func passesConditions(s *query.Scan, e event) bool { return judge(s.Where, e).holds }

func evaluate(op string, v any, values []any) bool {
	switch op {
	case "eq", "in":
		return slices.Contains(values, v)
	case "ne", "not_in":
		return !slices.Contains(values, v)
	case "exists":
		return (v != nil) == values[0]
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
		return evaluate("ge", v, values[:1]) && evaluate("le", v, values[1:])
	}
	var c int
	switch v := v.(type) {
	case int64:
		c = cmp.Compare(v, values[0].(int64))
	case float64:
		c = cmp.Compare(v, values[0].(float64))
	case string:
		c = cmp.Compare(v, values[0].(string))
	}
	return map[string]bool{"lt": c < 0, "le": c <= 0, "gt": c > 0, "ge": c >= 0}[op]
}

func groupKey(s *query.Scan, window int, e event) string {
	key := fmt.Sprint(window)
	for _, d := range s.GroupBy {
		key += fmt.Sprintf("|%v", e.dimension(d.Name))
	}
	return key
}

// naiveMeasure returns the value of a measure over the events.
func naiveMeasure(m query.Measure, events []event) string {
	if m.Kind == catalog.Count {
		return fmt.Sprint(len(events))
	}
	var values []any
	for _, e := range events {
		if v := e.column(m.Field); v != nil {
			values = append(values, v)
		}
	}
	if m.Kind == catalog.Distinct {
		set := map[any]bool{}
		for _, v := range values {
			set[v] = true
		}
		return fmt.Sprint(len(set))
	}
	if m.Kind == catalog.Quantile {
		return naiveBins(values)
	}
	sum := new(big.Rat)
	low := (*big.Rat)(nil)
	high := (*big.Rat)(nil)
	for _, v := range values {
		r := toRational(v)
		sum.Add(sum, r)
		if low == nil || r.Cmp(low) < 0 {
			low = r
		}
		if high == nil || r.Cmp(high) > 0 {
			high = r
		}
	}
	out := map[catalog.MeasureKind]*big.Rat{catalog.Sum: sum, catalog.Avg: sum, catalog.Min: low,
		catalog.Max: high}[m.Kind]
	if len(values) == 0 {
		out = new(big.Rat)
	}
	if m.Type == catalog.Float64 {
		rounded, _ := out.Float64() // An infinity means beyond the range.
		return fmt.Sprintf("%d:%g", len(values), rounded)
	}
	return fmt.Sprintf("%d:%s", len(values), out.RatString())
}

// naiveBins counts values by bin.
func naiveBins(values []any) string {
	bins := map[int16]uint64{}
	for _, v := range values {
		if i, ok := v.(int64); ok {
			bins[quantile.KeyOfInt(i)]++
		} else {
			bins[quantile.KeyOfFloat(v.(float64))]++
		}
	}
	return fmt.Sprint(len(values), bins)
}

func toRational(v any) *big.Rat {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v)
	case float64:
		return new(big.Rat).SetFloat64(v)
	}
	panic(fmt.Sprintf("not a number: %v", v))
}

// groupsOf returns the rows of a part in the form of the oracle.
func groupsOf(s *query.Scan, p *query.Part) []group {
	var out []group
	for r := range p.Rows() {
		g := group{Key: fmt.Sprint(p.Windows[r]), Events: p.Events[r]}
		for i := range p.Dims {
			g.Key += fmt.Sprintf("|%v", dimension(&p.Dims[i], r))
		}
		for i, m := range s.Measures {
			g.Measures = append(g.Measures, formatMeasure(m, p.Measures[i][r]))
		}
		out = append(out, g)
	}
	return sortGroups(out)
}

func dimension(c *query.Column, row int) any {
	switch {
	case c.IsNull(row):
		return nil
	case c.Type == catalog.String:
		return c.Strings[row]
	case c.Type == catalog.Bool:
		return c.Ints[row] == 1
	}
	return c.Ints[row]
}

func formatMeasure(m query.Measure, a query.Acc) string {
	v := new(big.Rat)
	switch {
	case m.Kind == catalog.Count:
		return fmt.Sprint(a.N)
	case m.Kind == catalog.Distinct:
		return fmt.Sprint(a.Sketch.Estimate())
	case m.Kind == catalog.Quantile && a.Bins == nil:
		return fmt.Sprint(a.N, map[int16]uint64{})
	case m.Kind == catalog.Quantile:
		return fmt.Sprint(a.N, maps.Collect(a.Bins.Bins()))
	case m.Type == catalog.Float64 && (m.Kind == catalog.Sum || m.Kind == catalog.Avg):
		rounded, _ := a.Sum.Float64()
		return fmt.Sprintf("%d:%g", a.N, rounded)
	case m.Type == catalog.Float64:
		return fmt.Sprintf("%d:%g", a.N, a.Float+0)
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		wide := new(big.Int).Lsh(big.NewInt(a.Hi), 64)
		v.SetInt(wide.Add(wide, new(big.Int).SetUint64(a.Lo)))
	default:
		v.SetInt64(int64(a.Lo))
	}
	return fmt.Sprintf("%d:%s", a.N, v.RatString())
}
