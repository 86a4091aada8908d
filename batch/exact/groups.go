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
func emptyTable(slots []uint64, rows int64) []uint64 {
	if want := 1 << bits.Len64(uint64(2*rows)); want < len(slots) {
		slots = slots[:max(want, minSlots)]
	}
	clear(slots)
	return slots
}

// doubleTable returns an empty table of twice the size, in the same memory if that is large enough.
func doubleTable(slots []uint64) []uint64 {
	size := max(2*len(slots), minSlots)
	if cap(slots) < size {
		return make([]uint64, size)
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
