package merge

import (
	"encoding/binary"
	"fmt"

	"recount/schemas/query"
)

// none means that a part has no row.
const none = -1

// groups is the union of two parts' rows. Row i is in window[i] and has the batch row batch[i]
// and the live row live[i]; either may be missing. Its dimensions are in row keyRow[i] of the
// batch part or, if keyRow[i] is negative, in row ^keyRow[i] of the live part.
type groups struct {
	batchPart, livePart *query.Part

	window, batch, live, keyRow []int32
}

func (g *groups) len() int { return len(g.window) }

func (g *groups) add(window, batch, live, keyRow int32) {
	g.window = append(g.window, window)
	g.batch = append(g.batch, batch)
	g.live = append(g.live, live)
	g.keyRow = append(g.keyRow, keyRow)
}

// move puts row from in the place of row to.
func (g *groups) move(from, to int) {
	g.window[to] = g.window[from]
	g.batch[to] = g.batch[from]
	g.live[to] = g.live[from]
	g.keyRow[to] = g.keyRow[from]
}

// cut removes all rows but the first n.
func (g *groups) cut(n int) {
	g.window = g.window[:n]
	g.batch = g.batch[:n]
	g.live = g.live[:n]
	g.keyRow = g.keyRow[:n]
}

// dim returns column d of the part that has row i's key, and the row in that column.
func (g *groups) dim(d int, i int) (*query.Column, int) {
	if k := g.keyRow[i]; k < 0 {
		return &g.livePart.Dims[d], int(^k)
	}
	return &g.batchPart.Dims[d], int(g.keyRow[i])
}

// unite matches the rows of both parts by window and dimensions. It indexes the live part,
// because that is the smaller one. It does not hash batch rows of windows without a live row.
func unite(windows int, batch, live *query.Part) *groups {
	n := batch.Rows() + live.Rows()
	g := &groups{batchPart: batch, livePart: live, window: make([]int32, 0, n),
		batch: make([]int32, 0, n), live: make([]int32, 0, n), keyRow: make([]int32, 0, n)}
	index, touched := indexLive(windows, live)
	matched := make([]bool, live.Rows())
	var key []byte
	for i, w := range batch.Windows {
		l := int32(none)
		if touched != nil && touched[w] {
			key = appendKey(key[:0], batch, i)
			if row, ok := index[string(key)]; ok {
				l = row
				matched[row] = true
			}
		}
		g.add(w, int32(i), l, int32(i))
	}
	for i, w := range live.Windows {
		if !matched[i] {
			g.add(w, none, int32(i), ^int32(i))
		}
	}
	return g
}

func indexLive(windows int, live *query.Part) (index map[string]int32, touched []bool) {
	if live.Rows() == 0 {
		return nil, nil
	}
	index = make(map[string]int32, live.Rows())
	touched = make([]bool, windows)
	var key []byte
	for i, w := range live.Windows {
		key = appendKey(key[:0], live, i)
		index[string(key)] = int32(i)
		touched[w] = true
	}
	return index, touched
}

// appendKey appends a key that is unique to the window and dimensions of a row.
func appendKey(dst []byte, p *query.Part, row int) []byte {
	return appendGroup(dst, p.Windows[row], p.Dims, row)
}

// appendGroup appends the key of a window and the dimensions of a row.
func appendGroup(dst []byte, w int32, dims []query.Column, row int) []byte {
	return appendColumns(binary.LittleEndian.AppendUint32(dst, uint32(w)), dims, row)
}

func appendDims(dst []byte, p *query.Part, row int) []byte { return appendColumns(dst, p.Dims, row) }

func appendColumns(dst []byte, dims []query.Column, row int) []byte {
	for d := range dims {
		c := &dims[d]
		switch {
		case c.IsNull(row):
			dst = append(dst, 0)
		case c.Strings != nil:
			dst = append(dst, 1)
			dst = binary.AppendUvarint(dst, uint64(len(c.Strings[row])))
			dst = append(dst, c.Strings[row]...)
		default:
			dst = append(dst, 1)
			dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Ints[row]))
		}
	}
	return dst
}

// checkPart refuses a part that does not fit its scan, since indexing it would panic or,
// worse, pair a value with another group.
func checkPart(scan *query.Scan, p *query.Part, layer string) error {
	n := p.Rows()
	fits := len(p.Dims) == len(scan.GroupBy) && len(p.Measures) == len(scan.Measures) && len(p.Events) == n
	for _, c := range p.Dims {
		fits = fits && (len(c.Strings) == n || len(c.Ints) == n) && (c.Null == nil || len(c.Null) == n)
	}
	for _, m := range p.Measures {
		fits = fits && len(m) == n
	}
	for _, w := range p.Windows {
		fits = fits && w >= 0 && int(w) < scan.Windows.Len()
	}
	if !fits {
		return fmt.Errorf("merge: the %s part does not fit the scan of view %s", layer, scan.View.Name)
	}
	return nil
}
