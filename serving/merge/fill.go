package merge

import (
	"fmt"

	"recount/schemas/query"
)

// FillError says that filling windows would give more rows than an answer may have.
type FillError struct{ Groups, Windows int }

func (e *FillError) Error() string {
	return fmt.Sprintf("fill: %d groups in %d windows give more than %d rows; use a coarser granularity or a shorter "+
		"range", e.Groups, e.Windows, query.MaxLimit)
}

// fill adds a row without events for each group and each of the windows, from a first one on, in which the group has
// none. Without group_by there is one group, even if it has no events.
func (g *groups) fill(first, windows, dims int) error {
	ids, keyRows := g.identify(dims)
	if len(keyRows)*windows > query.MaxLimit {
		return &FillError{len(keyRows), windows}
	}
	seen := make([]bool, len(keyRows)*windows)
	for i, id := range ids {
		seen[int(id)*windows+int(g.window[i])-first] = true
	}
	for i, ok := range seen {
		if !ok {
			g.add(int32(first+i%windows), none, none, keyRows[i/windows])
		}
	}
	return nil
}

// identify numbers the combinations of dimensions. It returns the number of each row, and for
// each number the key row of one row that has it.
func (g *groups) identify(dims int) (ids, keyRows []int32) {
	ids = make([]int32, g.len())
	if dims == 0 {
		return ids, []int32{0}
	}
	index := map[string]int32{}
	var key []byte
	for i, k := range g.keyRow {
		if k < 0 {
			key = appendDims(key[:0], g.livePart, int(^k))
		} else {
			key = appendDims(key[:0], g.batchPart, int(k))
		}
		id, ok := index[string(key)]
		if !ok {
			id = int32(len(keyRows))
			index[string(key)] = id
			keyRows = append(keyRows, k)
		}
		ids[i] = id
	}
	return ids, keyRows
}
