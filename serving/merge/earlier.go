package merge

import (
	"errors"

	"recount/schemas/query"
)

// Earlier is what both layers know of the range that an answer is compared with. Either part may be nil.
type Earlier struct {
	Scan        *query.Scan
	Batch, Live *query.Part
}

// WithGroups returns the parts of the later range with rows for the groups that only the earlier one has. They have no
// events. Without them, a dashboard would not show what has vanished. Windows of the earlier range with which no window
// is compared add nothing. What the accuracy says is about both ranges.
func (e *Earlier) WithGroups(scan *query.Scan, batch, live *query.Part) (withGroups, later *query.Part, err error) {
	batch = orEmpty(scan, batch).Copy()
	later = orEmpty(scan, live)
	parts := []*query.Part{orEmpty(e.Scan, e.Batch), orEmpty(e.Scan, e.Live)}
	if err := errors.Join(checkPart(scan, batch, "batch"), checkPart(scan, later, "live"),
		checkPart(e.Scan, parts[0], "earlier batch"), checkPart(e.Scan, parts[1], "earlier live")); err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	var key []byte
	for _, p := range []*query.Part{batch, later} {
		for row := range p.Windows {
			key = appendKey(key[:0], p, row)
			seen[string(key)] = true
		}
	}
	windows := e.laterWindows(scan.Comparison.Places)
	for _, p := range parts {
		for row, w := range p.Windows {
			key = appendGroup(key[:0], windows[w], p.Dims, row)
			if windows[w] == none || seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			batch.Append(p, row, windows[w])
			batch.Events[batch.Rows()-1] = 0
			for j := range batch.Measures {
				batch.Measures[j] = append(batch.Measures[j], query.Acc{})
			}
		}
	}
	batch.Overflow.Add(parts[0].Overflow)
	batch.Unconverted += parts[0].Unconverted
	batch.Retired += parts[0].Retired
	with := *later
	with.Overflow.Add(parts[1].Overflow)
	with.Unconverted += parts[1].Unconverted
	return batch, &with, nil
}

// laterWindows is the inverse of places: the later window of each earlier one, or none.
func (e *Earlier) laterWindows(places []int32) []int32 {
	later := make([]int32, e.Scan.Windows.Len())
	for i := range later {
		later[i] = none
	}
	for w, place := range places {
		if place != none && later[place] == none {
			later[place] = int32(w)
		}
	}
	return later
}

// SetPrevious adds the values of the earlier range to an answer of the later one: those of the same group in the window
// that the row's window is compared with.
func (a *Answer) SetPrevious(scan *query.Scan, q *query.Query, e *Earlier) {
	batch := orEmpty(e.Scan, e.Batch)
	live := orEmpty(e.Scan, e.Live)
	g := unite(e.Scan.Windows.Len(), batch, live)
	index := make(map[string]int, g.len())
	var key []byte
	for i, k := range g.keyRow {
		if k < 0 {
			key = appendKey(key[:0], live, int(^k))
		} else {
			key = appendKey(key[:0], batch, int(k))
		}
		index[string(key)] = i
	}
	dims := make([]query.Column, len(a.Dims))
	for d := range a.Dims {
		dims[d] = a.Dims[d].Column
	}
	p := &Answer{Location: a.Location, Windowed: a.Windowed, rows: a.rows, Missing: make([]bool, a.rows)}
	rows := &groups{batchPart: batch, livePart: live}
	identity := make([]int32, a.rows)
	for row := range identity {
		identity[row] = int32(row)
		place := int32(0)
		if a.Windowed {
			place = scan.Comparison.Places[scan.Windows.Starting(a.Times[row])]
		}
		key = appendGroup(key[:0], place, dims, row)
		i, found := index[string(key)]
		if p.Missing[row] = !found; found {
			rows.add(place, g.batch[i], g.live[i], none)
		} else {
			rows.add(max(place, 0), none, none, none)
		}
	}
	p.gatherPrevious(e.Scan, q, rows, identity)
	a.Previous = p
	a.Accuracy.PreviousOutOfRange = p.Accuracy.OutOfRange
	a.Accuracy.Exact = a.Accuracy.Exact && live.Rows() == 0
}

// gatherPrevious finishes the measures. What is missing is null.
func (a *Answer) gatherPrevious(scan *query.Scan, q *query.Query, g *groups, identity []int32) {
	if a.Windowed {
		a.Times = make([]int64, a.rows)
		for row, w := range g.window {
			a.Times[row] = scan.Windows.Start(int(w))
		}
	}
	if g.livePart.Rows() > 0 {
		a.HasLive = make([]bool, a.rows)
		for row, l := range g.live {
			a.HasLive[row] = l != none
		}
	}
	a.gatherMeasures(scan, q, newColumns(scan, g.batchPart, g.livePart), g, identity)
	for i := range a.Measures {
		for row, missing := range a.Missing {
			a.Measures[i].Value.Null[row] = a.Measures[i].Value.Null[row] || missing
		}
	}
}
