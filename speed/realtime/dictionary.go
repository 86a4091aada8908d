package realtime

import (
	"hash/maphash"
	"slices"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
)

// dictionary numbers the values of one column in one segment from 1 on; id 0 is null. It is dropped with its
// segment, which bounds its size. Texts are stored end to end in one slice, because a million string
// headers would be a million pointers for the garbage collector.
type dictionary struct {
	isText bool
	ends   []int // the text with id i ends at text[ends[i]]; ends[0] is 0
	text   []byte
	ints   []int64 // ints[0] is unused
	index  index
	seed   maphash.Seed // random, so that clients cannot choose values that collide
}

func newDictionary(t catalog.FieldType) *dictionary {
	d := &dictionary{isText: t == catalog.String, seed: maphash.MakeSeed()}
	if d.isText {
		d.ends = []int{0}
	} else {
		d.ints = []int64{0}
	}
	return d
}

// reserve makes room for as many values as another dictionary has, once this one has a quarter of them.
func (d *dictionary) reserve(other *dictionary) {
	n := other.size()
	if 4*d.size() < n || cap(d.ends)+cap(d.ints) >= n {
		return
	}
	d.ends = slices.Grow(d.ends, max(0, len(other.ends)-len(d.ends)))
	d.text = slices.Grow(d.text, max(0, len(other.text)-len(d.text)))
	d.ints = slices.Grow(d.ints, max(0, len(other.ints)-len(d.ints)))
	d.index.grow(n)
}

// size returns the number of ids, null included.
func (d *dictionary) size() int { return len(d.ends) + len(d.ints) }

func (d *dictionary) bytes() int64 {
	return int64(8*cap(d.ends)+cap(d.text)+8*cap(d.ints)) + d.index.bytes()
}

// value returns the text of an id without a copy. It is valid as long as d.
func (d *dictionary) value(id uint32) string {
	b := d.text[d.ends[id-1]:d.ends[id]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// textID returns the id of s. It adds a copy of s if there is none.
func (d *dictionary) textID(s string) uint32 {
	d.index.reserve()
	h := uint32(maphash.String(d.seed, s))
	mask := uint32(len(d.index.slots) - 1)
	i := h & mask
	for ; d.index.slots[i] != 0; i = (i + 1) & mask {
		if e := d.index.slots[i]; uint32(e>>32) == h && d.value(uint32(e)) == s {
			return uint32(e)
		}
	}
	d.text = append(d.text, s...)
	d.ends = append(d.ends, len(d.text))
	id := uint32(len(d.ends) - 1)
	d.index.insert(i, h, id)
	return id
}

// intID returns the id of v. It adds v if there is none.
func (d *dictionary) intID(v int64) uint32 {
	d.index.reserve()
	h := uint32(maphash.Comparable(d.seed, v))
	mask := uint32(len(d.index.slots) - 1)
	i := h & mask
	for ; d.index.slots[i] != 0; i = (i + 1) & mask {
		if e := d.index.slots[i]; uint32(e>>32) == h && d.ints[uint32(e)] == v {
			return uint32(e)
		}
	}
	d.ints = append(d.ints, v)
	id := uint32(len(d.ints) - 1)
	d.index.insert(i, h, id)
	return id
}

// find returns the id of s, or 0 if there is none. It does not use the index, which closed segments
// do not have.
func (d *dictionary) find(s string) uint32 {
	for id := 1; id < len(d.ends); id++ {
		if d.value(uint32(id)) == s {
			return uint32(id)
		}
	}
	return 0
}

// overflowID returns the id of the value that replaces overflowed values, or noID if there is none.
func (d *dictionary) overflowID() uint32 {
	if d.isText {
		if id := d.find(catalog.Overflow); id != 0 {
			return id
		}
		return noID
	}
	if i := slices.Index(d.ints[1:], catalog.OverflowInt); i >= 0 {
		return uint32(1 + i)
	}
	return noID
}

// noID means that an id has not been looked up, or that there is none.
const noID = ^uint32(0)

// setOverflow sets ids[i] for the rows i whose value overflowed. Such values are not added to the
// dictionary.
func (d *dictionary) setOverflow(rows []int, ids []uint32) {
	for _, i := range rows {
		if d.isText {
			ids[i] = d.textID(catalog.Overflow)
		} else {
			ids[i] = d.intID(catalog.OverflowInt)
		}
	}
}

// assignIDs sets ids[i] for those selected rows i that have no id yet.
func (d *dictionary) assignIDs(col arrow.Array, selected []int32, ids []uint32) {
	if col == nil {
		for _, i := range selected {
			ids[i] = 0
		}
		return
	}
	if c, ok := col.(*array.String); ok {
		d.assignTextIDs(c, selected, ids)
		return
	}
	nulls := col.NullN() > 0
	id := d.idFunc(col)
	for _, i := range selected {
		switch {
		case ids[i] != noID:
		case nulls && col.IsNull(int(i)):
			ids[i] = 0
		default:
			ids[i] = id(int(i))
		}
	}
}

// assignTextIDs is assignIDs for texts. A text that is that of the row before, as tenants and sources often are,
// needs no search.
func (d *dictionary) assignTextIDs(col *array.String, selected []int32, ids []uint32) {
	nulls := col.NullN() > 0
	last := ""
	lastID := noID
	for _, i := range selected {
		if ids[i] != noID {
			continue
		}
		if nulls && col.IsNull(int(i)) {
			ids[i] = 0
			continue
		}
		if s := col.Value(int(i)); lastID == noID || s != last {
			last = s
			lastID = d.textID(s)
		}
		ids[i] = lastID
	}
}

// idFunc returns a function that returns the id of a row's value, which is no text.
func (d *dictionary) idFunc(col arrow.Array) func(int) uint32 {
	if c, ok := col.(*array.Int64); ok {
		return func(i int) uint32 { return d.intID(c.Value(i)) }
	}
	c := col.(*array.Boolean)
	return func(i int) uint32 {
		if c.Value(i) {
			return d.intID(1)
		}
		return d.intID(0)
	}
}
