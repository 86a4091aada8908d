package merge

import (
	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Merge makes the answer of a resolved query from both parts, either of which may be nil. It sets
// Exact, Truncated, Overflow, Unconverted, Retired and OutOfRange of the given accuracy. It does not change the parts.
//
// The user can avoid the error *FillError. Any other error means that a part does not fit the scan.
func Merge(scan *query.Scan, q *query.Query, batch, live *query.Part, accuracy query.Accuracy) (*Answer, error) {
	batch = orEmpty(scan, batch)
	live = orEmpty(scan, live)
	if err := checkPart(scan, batch, "batch"); err != nil {
		return nil, err
	}
	if err := checkPart(scan, live, "live"); err != nil {
		return nil, err
	}
	location, err := q.Location()
	if err != nil {
		return nil, err
	}
	g := unite(scan.Windows.Len(), batch, live)
	windowed := q.IsWindowed()
	// A total exists without an event too, as in SQL. Groups and windows do not.
	if q.Fill || !windowed && len(scan.GroupBy) == 0 {
		first := scan.Overlap.First
		if err := g.fill(first, scan.Windows.Len()-first, len(scan.GroupBy)); err != nil {
			return nil, err
		}
	}
	columns := newColumns(scan, batch, live)
	g.keep(scan.Having, columns)
	rows, all := order(scan, q, g, columns)
	overflow := batch.Overflow
	overflow.Live = live.Overflow.Events
	if overflow.Add(live.Overflow); overflow.Events > 0 {
		accuracy.Overflow = &overflow
	}
	accuracy.Unconverted = batch.Unconverted + live.Unconverted
	accuracy.Retired = batch.Retired
	accuracy.Exact = live.Rows() == 0 && overflow.Events == 0 && accuracy.Unconverted == 0 && accuracy.Retired == 0
	accuracy.Truncated = q.Skip()+len(rows) < all
	a := &Answer{Location: location, Windowed: windowed, Accuracy: accuracy, rows: len(rows)}
	a.gatherKeys(scan, g, rows)
	a.gatherMeasures(scan, q, columns, g, places(rows, g.len()))
	return a, nil
}

// SetTotals adds the totals, which Merge has made of a scan of all groups (query.AllGroups).
func (a *Answer) SetTotals(totals *Answer) {
	a.Totals = totals
	for _, o := range totals.Accuracy.OutOfRange {
		a.Accuracy.TotalsOutOfRange = append(a.Accuracy.TotalsOutOfRange, o.Measure)
	}
}

// SetOthers adds what is in no row, which Merge has made of a scan of other groups (query.OtherGroups).
func (a *Answer) SetOthers(others *Answer) {
	a.Others = others
	a.Accuracy.OthersOutOfRange = others.Accuracy.OutOfRange
}

// Groups returns the groups of the answer's rows, as a part of its scan without measures.
func (a *Answer) Groups(scan *query.Scan) *query.Part {
	p := &query.Part{Windows: make([]int32, a.rows)}
	for row, t := range a.Times {
		p.Windows[row] = int32(scan.Windows.Starting(t))
	}
	for d := range a.Dims {
		p.Dims = append(p.Dims, a.Dims[d].Column)
	}
	return p
}

// Bytes returns the memory that Merge needs besides its parts, at most: the index of the groups, their
// order, and the answer's columns.
func Bytes(scan *query.Scan, q *query.Query, batch, live *query.Part) int64 {
	const rank = 8
	const group = 4*4 + 2*16 + 4 // in groups, twice as an entry, and in places
	const indexed = 64           // a live row in the index
	const finished = 3*9 + 2*9   // a value, its live part, a third of slack, and bounds
	l := int64(orEmpty(scan, live).Rows())
	rows := int64(orEmpty(scan, batch).Rows()) + l
	answered := min(rows, int64(q.Limit))
	if q.Fill {
		answered = min(rows*int64(scan.Windows.Len()), query.MaxLimit)
		rows = max(rows, answered)
	}
	keys := int64(1 + len(scan.GroupBy) + len(q.OrderBy))
	if q.PerWindow > 0 {
		keys += 2 // The entries by window, for which two ranks have room.
	}
	return indexed*l + rows*(group+rank*keys) +
		answered*(8+17*int64(len(scan.GroupBy))+finished*int64(len(scan.Measures)+len(scan.Derived)))
}

func orEmpty(scan *query.Scan, p *query.Part) *query.Part {
	if p != nil {
		return p
	}
	return &query.Part{Dims: make([]query.Column, len(scan.GroupBy)), Measures: make([][]query.Acc, len(scan.Measures))}
}

// newColumns returns the derived numbers of a scan, and then its measures.
func newColumns(scan *query.Scan, batch, live *query.Part) []column {
	columns := make([]column, len(scan.Derived)+len(scan.Measures))
	measures := columns[len(scan.Derived):]
	for j, m := range scan.Measures {
		measures[j] = column{Measure: m, batch: batch.Measures[j], live: live.Measures[j]}
		if m.Kind == catalog.Distinct {
			measures[j].scratch = new(scratch)
		}
	}
	for k := range scan.Derived {
		columns[k] = newDerived(scan, &scan.Derived[k], measures)
	}
	return columns
}

// gatherKeys copies the times, dimensions and live flags of the rows.
func (a *Answer) gatherKeys(scan *query.Scan, g *groups, rows []int32) {
	if a.Windowed {
		a.Times = make([]int64, len(rows))
		for out, i := range rows {
			a.Times[out] = scan.Windows.Start(int(g.window[i]))
		}
	}
	for d, dim := range scan.GroupBy {
		a.Dims = append(a.Dims, Dimension{dim.Name, gatherDim(g, d, dim.Type, rows)})
	}
	if g.livePart.Rows() == 0 {
		return
	}
	a.HasLive = make([]bool, len(rows))
	for out, i := range rows {
		a.HasLive[out] = g.live[i] != none
	}
}

func gatherDim(g *groups, d int, t catalog.FieldType, rows []int32) query.Column {
	out := query.Column{Type: t, Null: make([]bool, len(rows))}
	if t == catalog.String {
		out.Strings = make([]string, len(rows))
	} else {
		out.Ints = make([]int64, len(rows))
	}
	for to, i := range rows {
		c, row := g.dim(d, int(i))
		switch {
		case c.IsNull(row):
			out.Null[to] = true
		case t == catalog.String:
			out.Strings[to] = c.Strings[row]
		default:
			out.Ints[to] = c.Ints[row]
		}
	}
	return out
}

// places returns the inverse of rows: the place of each of n groups in the answer, or none. With
// it, measures are finished in the order in which they are in memory, so each cache line is
// read once.
func places(rows []int32, n int) []int32 {
	place := make([]int32, n)
	for i := range place {
		place[i] = none
	}
	for row, i := range rows {
		place[i] = int32(row)
	}
	return place
}

// gatherMeasures finishes the columns that a query returns.
func (a *Answer) gatherMeasures(scan *query.Scan, q *query.Query, columns []column, g *groups, place []int32) {
	derived := columns[:len(scan.Derived)]
	returned := columns[len(derived):][:len(q.Measures)] // The columns after them are not in rows.
	for _, list := range [][]column{returned, derived} {
		for i := range list {
			a.gatherMeasure(&list[i], g, place)
		}
	}
}

// gatherMeasure finishes one measure of all rows, with its live values and bounds. Rows in which a value
// does not fit its type are named in the accuracy.
func (a *Answer) gatherMeasure(c *column, g *groups, place []int32) {
	m := Measure{Name: c.Name, Kind: c.Kind, Type: c.ResultType(), Estimated: c.isEstimated()}
	wide := c.Kind == catalog.Sum && c.Type.IsDecimal()
	m.Value = newValues(m.Type, a.rows, wide)
	if a.HasLive != nil {
		if c.derived == nil {
			m.Live = newValues(m.Type, a.rows, wide)
		}
	}
	if m.Estimated && (a.HasLive != nil || m.Kind == catalog.Quantile) {
		m.Low = newValues(m.Type, a.rows, false)
		m.High = newValues(m.Type, a.rows, false)
	}
	var beyond []int
	for i, row := range place {
		if row == none {
			continue
		}
		v, l := c.mergedValue(g, i)
		m.Value.set(int(row), v)
		live := value{}
		if m.Live.Null != nil {
			live = c.liveValue(g, i, v)
			m.Live.set(int(row), live)
		}
		if m.Low.Null != nil {
			m.Low.set(int(row), l.low)
			m.High.set(int(row), l.high)
		}
		if v.beyond || live.beyond {
			beyond = append(beyond, int(row))
		}
	}
	if len(beyond) > 0 {
		a.Accuracy.OutOfRange = append(a.Accuracy.OutOfRange, query.NewOutOfRange(c.Name, beyond))
	}
	a.Measures = append(a.Measures, m)
}

// liveValue returns the live part of the merged value of row i.
func (c *column) liveValue(g *groups, i int, merged value) value {
	b, l := c.accumulators(g, i)
	switch {
	case l == nil:
		return value{null: true}
	case c.Kind == catalog.Distinct && b != nil:
		return value{i: merged.i - int64(b.Exact)}
	case c.Kind == catalog.Distinct:
		return merged
	}
	return finish(&c.Measure, l)
}

func newValues(t catalog.FieldType, n int, wide bool) Values {
	v := Values{Null: make([]bool, n)}
	if wide {
		v.Highs = make([]int64, n)
	}
	if t == catalog.Float64 {
		v.Floats = make([]float64, n)
	} else {
		v.Ints = make([]int64, n)
	}
	return v
}

func (v *Values) set(row int, x value) {
	v.Null[row] = x.null
	if v.Floats != nil {
		v.Floats[row] = x.f
		return
	}
	v.Ints[row] = x.i
	if v.Highs != nil {
		v.Highs[row] = x.high
	}
}
