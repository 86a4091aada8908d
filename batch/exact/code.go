package exact

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// coder gives each value of one grouping column a code within one task. Code 0 is null; values
// get 1, 2, … in the order they first appear. Groups are then compared by small integers, and a
// dictionary's string is looked up once per dictionary.
type coder struct {
	name      string
	fieldType catalog.FieldType
	seed      maphash.Seed // random, so that clients cannot choose strings that collide
	slots     []uint64     // upper half of a string's hash, then its code; 0 is an empty slot
	ints      map[int64]uint32
	values    query.Column // by code; entry 0 is unused
	codes     []uint32     // the code of each row of the current chunk

	dictionary arrow.ArrayData // the dictionary that remap belongs to
	remap      []uint32        // by the dictionary's index, the code; 0 where it is not known yet
}

func newCoder(name string, t catalog.FieldType) *coder {
	return &coder{name: name, fieldType: t, seed: maphash.MakeSeed()}
}

// code sets the code of every row of the chunk. A nil column is null in every row.
func (k *coder) code(column arrow.Array, n int) error {
	k.codes = resize(k.codes, n)
	if column != nil && !k.fits(column) {
		return fmt.Errorf("column %s is %s, declared %s", k.name, column.DataType(), k.fieldType)
	}
	switch c := column.(type) {
	case nil:
		clear(k.codes)
	case *array.Dictionary:
		return k.codeDictionary(c)
	case *array.String:
		for i := range n {
			k.codes[i] = 0
			if c.IsValid(i) {
				k.codes[i] = k.codeString(c.Value(i))
			}
		}
	case *array.Int64:
		k.codeIntegers(c, c.Value)
	case *array.Boolean:
		k.codeIntegers(c, func(i int) int64 { return boolInt(c.Value(i)) })
	}
	return nil
}

func (k *coder) overflowCode() uint32 {
	if k.fieldType == catalog.String {
		return k.codeString(catalog.Overflow)
	}
	return k.codeInt(catalog.OverflowInt)
}

func (k *coder) fits(column arrow.Array) bool {
	switch column.(type) {
	case *array.String, *array.Dictionary:
		return k.fieldType == catalog.String
	case *array.Int64:
		return k.fieldType == catalog.Int64
	case *array.Boolean:
		return k.fieldType == catalog.Bool
	}
	return false
}

func (k *coder) codeDictionary(c *array.Dictionary) error {
	index, ok1 := c.Indices().(*array.Int32)
	values, ok2 := c.Dictionary().(*array.String)
	if !ok1 || !ok2 {
		return fmt.Errorf("column %s is %s; a dictionary must have int32 indices and string values", k.name,
			c.DataType())
	}
	if k.dictionary != values.Data() {
		k.dictionary = values.Data()
		k.remap = resize(k.remap, values.Len())
		clear(k.remap)
	}
	nulls := c.NullN() > 0
	for i := range k.codes {
		d := index.Value(i)
		if nulls && c.IsNull(i) {
			k.codes[i] = 0
			continue
		}
		if k.remap[d] == 0 {
			k.remap[d] = k.codeString(values.Value(int(d)))
		}
		k.codes[i] = k.remap[d]
	}
	return nil
}

// codeString returns the code of a string. A map would hold each string once more, and would look at it to grow.
func (k *coder) codeString(s string) uint32 {
	if 2*len(k.values.Strings) >= len(k.slots) {
		k.growSlots()
	}
	slot, hash := k.find(s)
	if *slot == 0 {
		*slot = hash&^0xffffffff | uint64(len(k.values.Strings))
		k.values.Strings = append(k.values.Strings, strings.Clone(s)) // The chunk's memory may be reused.
	}
	return uint32(*slot)
}

// find returns the slot of a string, which is empty if the string has no code, and the string's hash. There must be
// slots.
func (k *coder) find(s string) (slot *uint64, hash uint64) {
	hash = maphash.String(k.seed, s)
	mask := uint64(len(k.slots) - 1)
	for i := hash >> 32 & mask; ; i = (i + 1) & mask {
		e := k.slots[i]
		if e == 0 || e>>32 == hash>>32 && k.values.Strings[uint32(e)] == s {
			return &k.slots[i], hash
		}
	}
}

func (k *coder) growSlots() {
	if k.values.Strings == nil {
		k.values.Strings = []string{""}
	}
	old := k.slots
	k.slots = make([]uint64, max(2*len(old), minSlots))
	mask := uint64(len(k.slots) - 1)
	for _, e := range old {
		i := e >> 32 & mask
		for e != 0 && k.slots[i] != 0 {
			i = (i + 1) & mask
		}
		k.slots[i] |= e
	}
}

// codeIntegers sets the codes of an integer column. A run of one value, as sorted files have, costs one look-up.
func (k *coder) codeIntegers(column arrow.Array, value func(int) int64) {
	last := int64(0)
	code := uint32(0)
	for i := range k.codes {
		k.codes[i] = 0
		if column.IsNull(i) {
			continue
		}
		if v := value(i); code == 0 || v != last {
			last = v
			code = k.codeInt(v)
		}
		k.codes[i] = code
	}
}

func (k *coder) codeInt(v int64) uint32 {
	if code, ok := k.ints[v]; ok {
		return code
	}
	if k.ints == nil {
		k.ints = map[int64]uint32{}
		k.values.Ints = []int64{0}
	}
	code := uint32(len(k.values.Ints))
	k.ints[v] = code
	k.values.Ints = append(k.values.Ints, v)
	return code
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// resize returns s with length n. It keeps the memory of s if that is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
