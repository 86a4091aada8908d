package realtime

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"recount/schemas/catalog"
	"recount/schemas/window"
)

// keyHead is the number of words of a row's key before its dimensions: the low and the high half of
// the cell's start, and the tenant.
const keyHead = 3

// table holds one view in one segment. It has a row for every combination of cell, tenant and
// dimension values that has events. Keys are stored row by row, because the search for a row compares
// a whole key. All else is stored column by column.
type table struct {
	keys      []uint32
	events    []uint64
	measures  []measure // nil for count
	index     index     // dropped when the segment closes
	seed      uint64
	low, high int64 // first and last cell

	unconverted map[unconvertedKey]uint64 // events of which the view lacks a value; nil without any
}

// unconvertedKey is a bucket and the id of a tenant.
type unconvertedKey struct {
	bucket int64
	tenant uint32
}

// countUnconverted counts the rows of a batch in which a value could not be converted. tenants has the id of each
// row's tenant, or noID for a row that is a copy.
func (t *table) countUnconverted(rows []int, times []arrow.Timestamp, tenants []uint32, bucket time.Duration) {
	for _, row := range rows {
		if tenants[row] == noID {
			continue
		}
		if t.unconverted == nil {
			t.unconverted = map[unconvertedKey]uint64{}
		}
		t.unconverted[unconvertedKey{window.Floor(int64(times[row]), bucket), tenants[row]}]++
	}
}

func newTable(v *viewPlan) *table {
	t := &table{seed: rand.Uint64()}
	for i, m := range v.view.Measures {
		t.measures = append(t.measures, newMeasure(m.Kind, v.measureTypes[i]))
	}
	return t
}

// reserve makes room for as many rows as another table has, once this one has a quarter of them.
func (t *table) reserve(other *table) {
	n := other.rows()
	rows := t.rows()
	if 4*rows < n || cap(t.events) >= n {
		return
	}
	t.keys = slices.Grow(t.keys, len(other.keys)-len(t.keys))
	t.events = slices.Grow(t.events, n-rows)
	t.index.grow(n)
	for _, m := range t.measures {
		if m != nil {
			m.grow(n)
			m.grow(rows)
		}
	}
}

func (t *table) rows() int { return len(t.events) }

func (t *table) bytes() int64 {
	n := int64(4*cap(t.keys)+8*cap(t.events)+unconvertedSize*len(t.unconverted)) + t.index.bytes()
	for _, m := range t.measures {
		if m != nil {
			n += m.bytes()
		}
	}
	return n
}

// cellOf returns the start of the cell in a key.
func cellOf(key []uint32) int64 { return int64(uint64(key[0]) | uint64(key[1])<<32) }

func (t *table) hash(key []uint32) uint32 {
	h := t.seed
	for _, w := range key {
		h = (h ^ uint64(w)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return uint32(mix(h))
}

// row returns the row of a key. It adds a row if there is none.
func (t *table) row(key []uint32) uint32 {
	t.index.reserve()
	h := t.hash(key)
	n := len(key)
	mask := uint32(len(t.index.slots) - 1)
	i := h & mask
	for ; t.index.slots[i] != 0; i = (i + 1) & mask {
		e := t.index.slots[i]
		if r := int(uint32(e) - 1); uint32(e>>32) == h && slices.Equal(t.keys[r*n:r*n+n], key) {
			return uint32(r)
		}
	}
	cell := cellOf(key)
	if len(t.events) == 0 {
		t.low = cell
		t.high = cell
	}
	t.low = min(t.low, cell)
	t.high = max(t.high, cell)
	r := len(t.events)
	t.keys = resize(t.keys, (r+1)*n)
	copy(t.keys[r*n:], key)
	t.events = resize(t.events, r+1)
	t.index.insert(i, h, uint32(r+1))
	return uint32(r)
}

// count finds the row of every selected event, adds one to its events, and appends the row to out.
// ids has, for each dictionary, the id of every row of the batch.
func (t *table) count(v *viewPlan, times []arrow.Timestamp, ids [][]uint32, selected []int32, out []uint32) []uint32 {
	var space [keyHead + catalog.MaxDimensions]uint32
	key := space[:keyHead+len(v.dictionaries)]
	var cell, end int64 // [cell, end) is empty before the first event
	for _, i := range selected {
		if at := int64(times[i]); at < cell || at >= end {
			cell = window.Floor(at, v.view.Cell)
			end = cell + v.view.Cell.Microseconds()
			key[0] = uint32(cell)
			key[1] = uint32(uint64(cell) >> 32)
		}
		key[2] = ids[0][i]
		for d, dictionary := range v.dictionaries {
			key[keyHead+d] = ids[dictionary][i]
		}
		r := t.row(key)
		t.events[r]++
		out = append(out, r)
	}
	return out
}
