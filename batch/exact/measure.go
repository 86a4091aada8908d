package exact

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
)

// accumulator keeps one measure of every group. Its fields become those of a Measure.
type accumulator struct {
	measure   catalog.Measure
	fieldType catalog.FieldType
	n         []uint64 // non-null values of each group
	hi        []int64  // 128-bit sum, two's complement
	lo        []uint64
	near      []floatsum.Near // sum of floats
	far       map[int32]floatsum.Far
	ints      []int64 // min or max
	floats    []float64
	pairs     pairs
	bins      bins
	hashes    hasher
}

// reset empties the accumulator. It keeps the memory.
func (a *accumulator) reset() {
	a.n = a.n[:0]
	a.hi = a.hi[:0]
	a.lo = a.lo[:0]
	a.near = a.near[:0]
	clear(a.far)
	a.ints = a.ints[:0]
	a.floats = a.floats[:0]
	switch a.measure.Kind {
	case catalog.Distinct:
		a.pairs.reset()
	case catalog.Quantile:
		a.bins.reset()
	}
}

// add adds the rows of a chunk. rowGroups is the group of each row, below groups, or -1 for a
// dropped row. A nil column is null in every row.
func (a *accumulator) add(column arrow.Array, rowGroups []int32, groups int) error {
	if a.measure.Kind == catalog.Count {
		return nil // The count is the group's events.
	}
	a.n = grow(a.n, groups)
	var fits bool
	switch a.measure.Kind {
	case catalog.Sum, catalog.Avg:
		fits = a.addSum(column, rowGroups, groups)
	case catalog.Min:
		fits = a.addExtreme(column, rowGroups, groups, true)
	case catalog.Max:
		fits = a.addExtreme(column, rowGroups, groups, false)
	case catalog.Distinct:
		return a.addDistinct(column, rowGroups)
	case catalog.Quantile:
		fits = a.addBins(column, rowGroups)
	}
	if !fits && column != nil {
		return fmt.Errorf("column %s is %s, declared %s", a.measure.Field, column.DataType(), a.fieldType)
	}
	return nil
}

func (a *accumulator) addSum(column arrow.Array, rowGroups []int32, groups int) bool {
	if a.fieldType == catalog.Float64 {
		a.near = grow(a.near, groups)
		c, ok := column.(*array.Float64)
		if ok {
			values := c.Float64Values()
			a.eachValue(c, rowGroups, func(g int32, i int) {
				if !a.near[g].Add(values[i]) {
					a.addFar(g, values[i])
				}
			})
		}
		return ok
	}
	a.hi = grow(a.hi, groups)
	a.lo = grow(a.lo, groups)
	c, ok := column.(*array.Int64)
	if ok {
		values := c.Int64Values()
		a.eachValue(c, rowGroups, func(g int32, i int) {
			var carry uint64
			a.lo[g], carry = bits.Add64(a.lo[g], uint64(values[i]), 0)
			a.hi[g] += values[i]>>63 + int64(carry)
		})
	}
	return ok
}

// addFar adds a value that is too large or too small for near. Such values are rare.
func (a *accumulator) addFar(group int32, v float64) {
	if a.far == nil {
		a.far = map[int32]floatsum.Far{}
	}
	a.far[group] = a.far[group].Add(v)
}

func (a *accumulator) addExtreme(column arrow.Array, rowGroups []int32, groups int, least bool) bool {
	if a.fieldType == catalog.Float64 {
		a.floats = grow(a.floats, groups)
		c, ok := column.(*array.Float64)
		if ok {
			extreme(a, c, rowGroups, a.floats, c.Value, least)
		}
		return ok
	}
	a.ints = grow(a.ints, groups)
	switch c := column.(type) {
	case *array.Int64:
		extreme(a, c, rowGroups, a.ints, c.Value, least)
	case *array.Timestamp:
		extreme(a, c, rowGroups, a.ints, func(i int) int64 { return int64(c.Value(i)) }, least)
	default:
		return false
	}
	return true
}

// extreme keeps the least or the greatest value of each group in best.
func extreme[T int64 | float64](a *accumulator, column arrow.Array, rowGroups []int32, best []T, value func(int) T,
	least bool) {
	a.eachValue(column, rowGroups, func(g int32, i int) {
		if v := value(i); a.n[g] == 1 || v != best[g] && (v < best[g]) == least {
			best[g] = v
		}
	})
}

// eachValue calls fn for every row that has a group and a value, after it has counted the value.
func (a *accumulator) eachValue(column arrow.Array, rowGroups []int32, fn func(group int32, row int)) {
	nulls := column.NullN() > 0
	for i, g := range rowGroups {
		if g < 0 || nulls && column.IsNull(i) {
			continue
		}
		a.n[g]++
		fn(g, i)
	}
}

func (a *accumulator) addDistinct(column arrow.Array, rowGroups []int32) error {
	if column == nil {
		return nil
	}
	hash, err := a.hashes.bind(column)
	if err != nil {
		return fmt.Errorf("column %s: %w", a.measure.Field, err)
	}
	a.eachValue(column, rowGroups, func(g int32, i int) { a.pairs.add(g, hash(i)) })
	return nil
}

// hasher hashes the values of a column. It hashes a dictionary's value once per dictionary.
type hasher struct {
	dictionary arrow.ArrayData
	known      []bool
	hashes     []uint64
}

// bind returns the function that hashes one row of the column.
func (h *hasher) bind(column arrow.Array) (func(row int) uint64, error) {
	switch c := column.(type) {
	case *array.Dictionary:
		return h.bindDictionary(c)
	case *array.String:
		return func(i int) uint64 { return distinct.HashString(c.Value(i)) }, nil
	case *array.Int64:
		return func(i int) uint64 { return distinct.HashInt64(c.Value(i)) }, nil
	case *array.Timestamp:
		return func(i int) uint64 { return distinct.HashInt64(int64(c.Value(i))) }, nil
	case *array.Float64:
		return func(i int) uint64 { return distinct.HashFloat64(c.Value(i)) }, nil
	case *array.Boolean:
		return func(i int) uint64 { return distinct.HashInt64(boolInt(c.Value(i))) }, nil
	}
	return nil, fmt.Errorf("distinct values of type %s cannot be counted", column.DataType())
}

func (h *hasher) bindDictionary(c *array.Dictionary) (func(row int) uint64, error) {
	index, ok1 := c.Indices().(*array.Int32)
	values, ok2 := c.Dictionary().(*array.String)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%s: a dictionary must have int32 indices and string values", c.DataType())
	}
	if h.dictionary != values.Data() {
		h.dictionary = values.Data()
		h.known = resize(h.known, values.Len())
		h.hashes = resize(h.hashes, values.Len())
		clear(h.known)
	}
	return func(i int) uint64 {
		d := index.Value(i)
		if !h.known[d] {
			h.known[d] = true
			h.hashes[d] = distinct.HashString(values.Value(int(d)))
		}
		return h.hashes[d]
	}, nil
}

// grow returns s with at least n entries. New entries are zero.
func grow[T any](s []T, n int) []T {
	if n > len(s) {
		s = append(s, make([]T, n-len(s))...)
	}
	return s
}
