package merge

import (
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// Total returns what a part says of all of its groups together, for a scan of totals (query.AllGroups). It has one row,
// or none if the part has none. A distinct count is the union of sketches, so the batch layer's part, which has exact
// numbers in place of sets, must have no such measure.
func Total(totals *query.Scan, p *query.Part) *query.Part {
	return fold(totals, p, func(int) int32 { return 0 })
}

// Rest returns what a part says of the groups of each window that are not shown, for a scan of these
// (query.OtherGroups). The shown groups are those of Answer.Groups. Of distinct counts, Total tells.
func Rest(others *query.Scan, p, shown *query.Part) *query.Part {
	if p == nil || p.Rows() == 0 {
		return fold(others, p, nil)
	}
	isShown := make(map[string]struct{}, shown.Rows())
	var key []byte
	for row := range shown.Windows {
		key = appendKey(key[:0], shown, row)
		isShown[string(key)] = struct{}{}
	}
	return fold(others, p, func(row int) int32 {
		key = appendKey(key[:0], p, row)
		if _, found := isShown[string(key)]; found {
			return none
		}
		return p.Windows[row]
	})
}

// RestBytes is the memory that Rest needs, at most. The sketches that it makes are no larger than those that it unites.
func RestBytes(others *query.Scan, p, shown *query.Part) int64 {
	const group = 64 + 16 // an entry of the map, and its key without texts
	if p == nil || p.Rows() == 0 {
		return 0
	}
	bytes := int64(group * shown.Rows() * (1 + len(shown.Dims)))
	windows := min(p.Rows(), others.Windows.Len())
	for j := range others.Measures {
		bytes += int64(windows) * others.Measures[j].AccBytes()
		for i := range p.Measures[j] {
			if s := p.Measures[j][i].Sketch; s != nil {
				bytes += s.Bytes()
			}
		}
	}
	return bytes + 4*int64(p.Rows())
}

// fold adds up the rows of a part, for a scan without dimensions. windowOf returns the window that a row is added to,
// or none for a row that is left out.
func fold(of *query.Scan, p *query.Part, windowOf func(row int) int32) *query.Part {
	if p == nil {
		return nil
	}
	out := &query.Part{Measures: make([][]query.Acc, len(of.Measures)), Overflow: p.Overflow,
		Unconverted: p.Unconverted, Retired: p.Retired}
	places := slices.Repeat([]int32{none}, of.Windows.Len())
	rows := make([]int32, p.Rows())
	for i := range rows {
		w := windowOf(i)
		if w == none {
			rows[i] = none
			continue
		}
		if places[w] == none {
			places[w] = int32(out.Rows())
			out.Windows = append(out.Windows, w)
			out.Events = append(out.Events, 0)
		}
		rows[i] = places[w]
		out.Events[rows[i]] += p.Events[i]
	}
	for j := range of.Measures {
		if first := of.Shared(j); first < j {
			out.Measures[j] = out.Measures[first]
			continue
		}
		out.Measures[j] = foldMeasure(&of.Measures[j], p.Measures[j], rows, out.Rows())
	}
	return out
}

// foldMeasure adds up accumulators in n rows. An accumulator whose row is none is left out.
func foldMeasure(m *query.Measure, from []query.Acc, rows []int32, n int) []query.Acc {
	sums := make([]query.Acc, n)
	if m.Kind == catalog.Distinct {
		for i := range sums {
			sums[i].Sketch = &distinct.Sketch{}
		}
	}
	for i, row := range rows {
		if row != none {
			add(m, &sums[row], &from[i])
		}
	}
	return sums
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
