package exact

import (
	"fmt"
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
	strings   map[string]uint32
	ints      map[int64]uint32
	values    query.Column // by code; entry 0 is unused
	codes     []uint32     // the code of each row of the current chunk

	dictionary arrow.ArrayData // the dictionary that remap belongs to
	remap      []uint32        // by the dictionary's index, the code; 0 where it is not known yet
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

func (k *coder) codeString(s string) uint32 {
	if code, ok := k.strings[s]; ok {
		return code
	}
	if k.strings == nil {
		k.strings = map[string]uint32{}
		k.values.Strings = []string{""}
	}
	s = strings.Clone(s) // The chunk's memory may be reused.
	code := uint32(len(k.values.Strings))
	k.strings[s] = code
	k.values.Strings = append(k.values.Strings, s)
	return code
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
