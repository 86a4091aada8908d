package realtime

import (
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// groupTable numbers the groups of a scan from 0 on. A key is the window and the id of each grouping
// dimension. Both are small numbers made here, so a client cannot choose keys that collide.
type groupTable struct {
	stride int
	keys   []uint32
	index  index
}

func (g *groupTable) len() int { return len(g.keys) / g.stride }

// id returns the number of the group with the given key. It adds the group if there is none.
func (g *groupTable) id(key []uint32) uint32 {
	g.index.reserve()
	h64 := uint64(0)
	for _, w := range key {
		h64 = (h64 ^ uint64(w)) * 0x9e3779b97f4a7c15
		h64 ^= h64 >> 32
	}
	h := uint32(h64)
	n := len(key)
	mask := uint32(len(g.index.slots) - 1)
	i := h & mask
	for ; g.index.slots[i] != 0; i = (i + 1) & mask {
		e := g.index.slots[i]
		if k := int(uint32(e) - 1); uint32(e>>32) == h && slices.Equal(g.keys[k*n:k*n+n], key) {
			return uint32(k)
		}
	}
	g.keys = append(g.keys, key...)
	id := uint32(g.len())
	g.index.insert(i, h, id)
	return id - 1
}

// answer returns what the scan has gathered.
func (sc *scanner) answer() *query.Part {
	n := sc.groups.len()
	stride := sc.groups.stride
	sc.result.Windows = make([]int32, n)
	for r := range n {
		sc.result.Windows[r] = int32(sc.groups.keys[r*stride])
	}
	for i, g := range sc.groupBy {
		sc.result.Dims = append(sc.result.Dims,
			g.column(sc.scan.GroupBy[i].Type, n, func(row int) uint32 { return sc.groups.keys[row*stride+1+i] }))
	}
	return &sc.result
}

// column returns the values of a grouping dimension. idOf returns the id of a row.
func (g *groupColumn) column(t catalog.FieldType, rows int, idOf func(row int) uint32) query.Column {
	c := query.Column{Type: t}
	if g.values.isText {
		c.Strings = make([]string, rows)
	} else {
		c.Ints = make([]int64, rows)
	}
	for r := range rows {
		id := idOf(r)
		switch {
		case id == 0:
			if c.Null == nil {
				c.Null = make([]bool, rows)
			}
			c.Null[r] = true
		case g.values.isText:
			c.Strings[r] = g.values.value(id)
		default:
			c.Ints[r] = g.values.ints[id]
		}
	}
	return c
}
