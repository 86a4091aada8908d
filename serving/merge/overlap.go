package merge

import (
	"cmp"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/query"
)

const (
	// maxOverlapRows is how many rows a part of overlapping windows may have. The batch layer has the same limit.
	maxOverlapRows = 2_000_000
	// maxAdditions is how many accumulators and bins are added for one part, which takes about a second.
	maxAdditions = 50_000_000
)

// Overlap returns a part for the windows of a scan that overlap, made of one for windows that do not
// (query.Scan.Apart). A group has a row for each window that unites one of its rows, also without events of its own.
// Such a row shares accumulators with that of the window before.
//
// grow is called for memory before it is taken. The error is that of grow, or a *query.Error about what to change.
func Overlap(scan *query.Scan, p *query.Part, grow func(bytes int64) error) (*query.Part, error) {
	if p == nil {
		return nil, nil
	}
	o := &overlap{scan: scan, from: p, to: p.Empty(), grow: grow}
	groups := rowsByGroup(p)
	for _, rows := range groups {
		if err := o.addGroup(rows); err != nil {
			return nil, err
		}
	}
	return o.to, nil
}

// overlap makes a part of another one. Rows [low, high) of a group are in the current window.
type overlap struct {
	scan      *query.Scan
	from, to  *query.Part
	grow      func(bytes int64) error
	additions int
}

// rowsByGroup returns the rows of each combination of dimensions, ascending by window.
func rowsByGroup(p *query.Part) [][]int32 {
	index := map[string]int{}
	var groups [][]int32
	var key []byte
	for row := range p.Windows {
		key = appendDims(key[:0], p, row)
		id, found := index[string(key)]
		if !found {
			id = len(groups)
			index[string(key)] = id
			groups = append(groups, nil)
		}
		groups[id] = append(groups[id], int32(row))
	}
	for _, rows := range groups {
		slices.SortFunc(rows, func(a, b int32) int { return cmp.Compare(p.Windows[a], p.Windows[b]) })
	}
	return groups
}

// addGroup adds the rows of one group.
func (o *overlap) addGroup(rows []int32) error {
	windowOf := func(i int) int { return int(o.from.Windows[rows[i]]) }
	var low, high int
	var events uint64
	var values []query.Acc
	for w := max(windowOf(0), o.scan.Overlap.First); w < o.scan.Windows.Len(); w++ {
		before := high
		for high < len(rows) && windowOf(high) <= w {
			events += o.from.Events[rows[high]]
			high++
		}
		kept := low
		for low < high && windowOf(low) <= w-o.scan.Overlap.Width {
			events -= o.from.Events[rows[low]]
			low++
		}
		var err error
		switch {
		case low == high && high == len(rows):
			return nil
		case low == high:
			values = nil
			w = max(windowOf(high), o.scan.Overlap.First) - 1
			continue
		case low != kept || values == nil:
			values, err = o.add(nil, rows[low:high])
		case before != high:
			values, err = o.add(values, rows[before:high])
		}
		if err == nil {
			err = o.append(rows[low], int32(w), events, values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add returns the values of rows together with those given, which stay as they are.
func (o *overlap) add(values []query.Acc, rows []int32) ([]query.Acc, error) {
	if o.additions += len(rows) + o.bins(values, rows); o.additions > maxAdditions {
		return nil, &query.Error{Field: "granularity", Msg: fmt.Sprintf("the windows overlap so much that more than "+
			"%d values would be added; use a coarser granularity, a shorter range or fewer dimensions", maxAdditions)}
	}
	out := make([]query.Acc, len(o.scan.Measures))
	for j := range o.scan.Measures {
		if first := o.scan.Shared(j); first < j {
			out[j] = out[first]
			continue
		}
		m := &o.scan.Measures[j]
		if m.Kind == catalog.Distinct {
			out[j].Sketch = &distinct.Sketch{}
		}
		if values != nil {
			add(m, &out[j], &values[j])
		}
		for _, row := range rows {
			add(m, &out[j], &o.from.Measures[j][row])
		}
		if s := out[j].Sketch; s != nil {
			if err := o.grow(s.Bytes()); err != nil {
				return nil, err
			}
		}
		if b := out[j].Bins; b != nil {
			if err := o.grow(b.Bytes()); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// bins is how many bins add adds.
func (o *overlap) bins(values []query.Acc, rows []int32) (n int) {
	for j := range o.scan.Measures {
		if o.scan.Measures[j].Kind != catalog.Quantile || o.scan.Shared(j) < j {
			continue
		}
		if values != nil {
			n += values[j].Bins.Len()
		}
		for _, row := range rows {
			n += o.from.Measures[j][row].Bins.Len()
		}
	}
	return n
}

// append adds a row with the dimensions of another one.
func (o *overlap) append(row, w int32, events uint64, values []query.Acc) error {
	if o.to.Rows() == maxOverlapRows {
		return &query.Error{Field: "granularity", Msg: fmt.Sprintf("the overlapping windows have more than %d rows; "+
			"use a coarser granularity, a shorter range or fewer dimensions", maxOverlapRows)}
	}
	const key = 4 + 8 + 17
	bytes := int64(key * (1 + len(o.to.Dims)))
	for j := range o.scan.Measures {
		bytes += o.scan.Measures[j].AccBytes()
	}
	if err := o.grow(bytes); err != nil {
		return err
	}
	o.to.Append(o.from, int(row), w)
	o.to.Events[len(o.to.Events)-1] = events
	for j := range values {
		o.to.Measures[j] = append(o.to.Measures[j], values[j])
	}
	return nil
}

// WithSets returns a part of a scan made of two: one of its measures that are not distinct, and one of those that are
// (query.Scan.Sets). Both are of the same events, so they have the same groups.
func WithSets(scan *query.Scan, p, sets *query.Part) (*query.Part, error) {
	places := make(map[string]int, sets.Rows())
	var key []byte
	for row := range sets.Windows {
		key = appendKey(key[:0], sets, row)
		places[string(key)] = row
	}
	out := *p
	out.Measures = make([][]query.Acc, len(scan.Measures))
	var ofSets, others int
	for j := range scan.Measures {
		if scan.Measures[j].Kind != catalog.Distinct {
			out.Measures[j] = p.Measures[others]
			others++
			continue
		}
		out.Measures[j] = make([]query.Acc, p.Rows())
		for row := range p.Windows {
			key = appendKey(key[:0], p, row)
			place, found := places[string(key)]
			if !found {
				return nil, fmt.Errorf("merge: the distinct counts of view %s lack a group", scan.View.Name)
			}
			out.Measures[j][row] = sets.Measures[ofSets][place]
		}
		ofSets++
	}
	return &out, nil
}
