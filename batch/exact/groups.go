package exact

import (
	"math/bits"
	"slices"
)

// groups numbers the groups of one view in one task. A group is the codes of a cell, a tenant and
// the view's dimensions. The table uses open addressing over flat codes, so that a row allocates
// nothing.
type groups struct {
	width     int      // codes in one group
	codes     []uint32 // width codes for each group
	hashes    []uint64 // the hash of each group, kept for when the table grows
	slots     []uint64 // upper half of the hash, then group + 1; 0 is an empty slot
	events    []uint64 // rows of each group
	rowHashes []uint64 // the hash of each row of the current chunk
	rowGroups []int32  // the group of each row of the current chunk, -1 where the row is dropped
}

const (
	multiplier = 0x9E3779B97F4A7C15
	minSlots   = 1 << 10
)

// assign finds or adds the group of every kept row. columns are the codes of each grouping column.
func (g *groups) assign(columns [][]uint32, keep []bool) {
	g.width = len(columns)
	g.rowHashes = resize(g.rowHashes, len(keep))
	g.rowGroups = resize(g.rowGroups, len(keep))
	clear(g.rowHashes)
	for _, codes := range columns {
		for i, c := range codes[:len(g.rowHashes)] {
			h := (g.rowHashes[i] ^ uint64(c)) * multiplier
			g.rowHashes[i] = h ^ h>>32
		}
	}
	for i, k := range keep {
		g.rowGroups[i] = -1
		if !k {
			continue
		}
		group := g.find(columns, i)
		g.rowGroups[i] = int32(group)
		g.events[group]++
	}
}

// reset empties the table for a task of at most rows rows. It keeps the memory.
func (g *groups) reset(rows int64) {
	g.codes = g.codes[:0]
	g.hashes = g.hashes[:0]
	g.events = g.events[:0]
	g.slots = emptyTable(g.slots, rows)
}

// emptyTable returns the part of a table that rows entries can fill, cleared.
func emptyTable[T any](slots []T, rows int64) []T {
	if want := 1 << bits.Len64(uint64(2*rows)); want < len(slots) {
		slots = slots[:max(want, minSlots)]
	}
	clear(slots)
	return slots
}

// doubleTable returns an empty table of twice the size, in the same memory if that is large enough.
func doubleTable[T any](slots []T) []T {
	size := max(2*len(slots), minSlots)
	if cap(slots) < size {
		return make([]T, size)
	}
	slots = slots[:size]
	clear(slots)
	return slots
}

func (g *groups) find(columns [][]uint32, row int) int {
	if 2*len(g.events) >= len(g.slots) {
		g.grow()
	}
	h := g.rowHashes[row] * multiplier
	mask := uint64(len(g.slots) - 1)
	for i := h >> 32 & mask; ; i = (i + 1) & mask {
		e := g.slots[i]
		if e == 0 {
			g.slots[i] = h&^0xffffffff | uint64(len(g.events)+1)
			for _, codes := range columns {
				g.codes = append(g.codes, codes[row])
			}
			g.hashes = append(g.hashes, h)
			g.events = append(g.events, 0)
			return len(g.events) - 1
		}
		if e>>32 == h>>32 && g.hasCodes(int(uint32(e)-1), columns, row) {
			return int(uint32(e) - 1)
		}
	}
}

func (g *groups) hasCodes(group int, columns [][]uint32, row int) bool {
	codes := g.codes[group*g.width:]
	for j, column := range columns {
		if codes[j] != column[row] {
			return false
		}
	}
	return true
}

func (g *groups) grow() {
	g.slots = doubleTable(g.slots)
	mask := uint64(len(g.slots) - 1)
	for group, h := range g.hashes {
		i := h >> 32 & mask
		for g.slots[i] != 0 {
			i = (i + 1) & mask
		}
		g.slots[i] = h&^0xffffffff | uint64(group+1)
	}
}

// sorted returns the groups by cell, which is their first code, and within a cell by first
// appearance.
func (g *groups) sorted() []int32 {
	keys := make([]uint64, len(g.events))
	for i := range keys {
		keys[i] = uint64(g.codes[i*g.width])<<32 | uint64(i)
	}
	slices.Sort(keys)
	order := make([]int32, len(keys))
	for i, k := range keys {
		order[i] = int32(uint32(k))
	}
	return order
}

// pairs is the set of (group, hash of a value): the distinct values of every group.
type pairs struct {
	slots  []uint32 // entry + 1; 0 is an empty slot
	hashes []uint64
	groups []int32
}

func (p *pairs) reset(rows int64) {
	p.hashes = p.hashes[:0]
	p.groups = p.groups[:0]
	p.slots = emptyTable(p.slots, rows)
}

func (p *pairs) add(group int32, hash uint64) {
	if 2*len(p.hashes) >= len(p.slots) {
		p.grow()
	}
	mask := uint64(len(p.slots) - 1)
	for i := p.hash(group, hash) & mask; ; i = (i + 1) & mask {
		e := p.slots[i]
		if e == 0 {
			p.hashes = append(p.hashes, hash)
			p.groups = append(p.groups, group)
			p.slots[i] = uint32(len(p.hashes))
			return
		}
		if p.hashes[e-1] == hash && p.groups[e-1] == group {
			return
		}
	}
}

func (p *pairs) hash(group int32, hash uint64) uint64 {
	hi, lo := bits.Mul64(hash^uint64(group)*multiplier, multiplier)
	return hi ^ lo
}

func (p *pairs) grow() {
	p.slots = doubleTable(p.slots)
	mask := uint64(len(p.slots) - 1)
	for e := range p.hashes {
		i := p.hash(p.groups[e], p.hashes[e]) & mask
		for p.slots[i] != 0 {
			i = (i + 1) & mask
		}
		p.slots[i] = uint32(e + 1)
	}
}

// hashesByGroup returns the hashes of every group, ascending within the group, in the given order of
// groups. The hashes of group order[r] are hashes[starts[r]:starts[r+1]].
func (p *pairs) hashesByGroup(order []int32) (hashes []uint64, starts []int) {
	rank := make([]int, len(order))
	for r, g := range order {
		rank[g] = r
	}
	starts = make([]int, len(order)+1)
	for _, g := range p.groups {
		starts[rank[g]+1]++
	}
	for r := range order {
		starts[r+1] += starts[r]
	}
	hashes = make([]uint64, len(p.hashes))
	next := slices.Clone(starts)
	for e, g := range p.groups {
		hashes[next[rank[g]]] = p.hashes[e]
		next[rank[g]]++
	}
	for r := range order {
		slices.Sort(hashes[starts[r]:starts[r+1]])
	}
	return hashes, starts
}
