package merge

import (
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// Total returns what a part says of all of its groups together, for a scan of totals (query.AllGroups). It has one row,
// or none if the part has none. A distinct count is the union of sketches, so the batch layer's part, which has exact
// numbers in place of sets, must have no such measure.
func Total(totals *query.Scan, p *query.Part) *query.Part {
	if p == nil {
		return nil
	}
	out := &query.Part{Measures: make([][]query.Acc, len(totals.Measures)), Overflow: p.Overflow,
		Unconverted: p.Unconverted, Retired: p.Retired}
	if p.Rows() == 0 {
		return out
	}
	out.Windows = []int32{0}
	out.Events = []uint64{0}
	for _, n := range p.Events {
		out.Events[0] += n
	}
	for j := range totals.Measures {
		if first := totals.Shared(j); first < j {
			out.Measures[j] = out.Measures[first]
			continue
		}
		m := &totals.Measures[j]
		var total query.Acc
		if m.Kind == catalog.Distinct {
			total.Sketch = &distinct.Sketch{}
		}
		for i := range p.Measures[j] {
			add(m, &total, &p.Measures[j][i])
		}
		out.Measures[j] = []query.Acc{total}
	}
	return out
}

// add adds an accumulator of a measure to a total, which shares no memory with it.
func add(m *query.Measure, total, a *query.Acc) {
	if a.Sketch != nil {
		total.Sketch.Merge(a.Sketch)
	}
	if a.N == 0 {
		return
	}
	if total.N += a.N; m.Kind == catalog.Sum || m.Kind == catalog.Avg {
		total.AddWide(a.Hi, a.Lo)
		if m.SumsFloats() {
			total.AddFloats(a.Sum)
		}
		return
	}
	if m.Kind == catalog.Quantile {
		if total.Bins == nil {
			total.Bins = &quantile.Sketch{}
		}
		total.Bins.Merge(a.Bins)
		return
	}
	least := m.Kind == catalog.Min
	if first := total.N == a.N; first || least == (int64(a.Lo) < int64(total.Lo)) {
		total.Lo = a.Lo
	}
	if first := total.N == a.N; first || least == (a.Float < total.Float) {
		total.Float = a.Float
	}
}
