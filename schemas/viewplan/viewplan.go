// Package viewplan runs a view's row filter on Arrow columns. The speed layer and
// the batch layer both call it, so there is one meaning of a view.
package viewplan

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// Select clears keep[i] for every row i of the batch that the filters exclude.
// keep has one entry a row; entries already false stay so.
func Select(filters []catalog.Filter, c eventbatch.Columns, keep []bool) {
	for _, f := range filters {
		col := c.Field(f.Field)
		switch f.Op {
		case catalog.Exists:
			want := f.Values[0].(bool)
			apply(keep, func(i int) bool { return isNull(col, i) != want })
		case catalog.Ne, catalog.NotIn:
			match := equal(f.Values, col)
			apply(keep, func(i int) bool { return isNull(col, i) || !match(i) })
		default:
			match := positive(f, col)
			apply(keep, func(i int) bool { return !isNull(col, i) && match(i) })
		}
	}
}

func apply(keep []bool, pass func(int) bool) {
	for i := range keep {
		keep[i] = keep[i] && pass(i)
	}
}

func isNull(col arrow.Array, i int) bool { return col == nil || col.IsNull(i) }

// positive is the predicate of an operator that a missing field never satisfies.
func positive(f catalog.Filter, col arrow.Array) func(int) bool {
	if f.Op == catalog.Eq || f.Op == catalog.In {
		return equal(f.Values, col)
	}
	switch c := col.(type) {
	case *array.Int64:
		return ordered(f.Op, f.Values[0].(int64), c.Value)
	case *array.Timestamp:
		return ordered(f.Op, f.Values[0].(int64), func(i int) int64 { return int64(c.Value(i)) })
	case *array.Float64:
		return ordered(f.Op, f.Values[0].(float64), c.Value)
	}
	return func(int) bool { return false }
}

func ordered[T int64 | float64](op catalog.FilterOp, v T, at func(int) T) func(int) bool {
	switch op {
	case catalog.Lt:
		return func(i int) bool { return at(i) < v }
	case catalog.Le:
		return func(i int) bool { return at(i) <= v }
	case catalog.Gt:
		return func(i int) bool { return at(i) > v }
	}
	return func(i int) bool { return at(i) >= v }
}

func equal(values []any, col arrow.Array) func(int) bool {
	switch c := col.(type) {
	case *array.String:
		return oneOf(values, c.Value)
	case *array.Dictionary:
		return matchDictionary(equal(values, c.Dictionary()), c)
	case *array.Int64:
		return oneOf(values, c.Value)
	case *array.Timestamp:
		return oneOf(values, func(i int) int64 { return int64(c.Value(i)) })
	case *array.Float64:
		return oneOf(values, c.Value)
	case *array.Boolean:
		return oneOf(values, c.Value)
	}
	return func(int) bool { return false }
}

// matchDictionary calls match once for each value of the dictionary, not for each row.
func matchDictionary(match func(int) bool, c *array.Dictionary) func(int) bool {
	codes := make([]bool, c.Dictionary().Len())
	for i := range codes {
		codes[i] = match(i)
	}
	return func(i int) bool { return codes[c.GetValueIndex(i)] }
}

func oneOf[T comparable](values []any, at func(int) T) func(int) bool {
	typed := make([]T, 0, len(values))
	for _, v := range values {
		typed = append(typed, v.(T))
	}
	if len(typed) <= 8 {
		return func(i int) bool { return slices.Contains(typed, at(i)) }
	}
	set := make(map[T]bool, len(typed))
	for _, v := range typed {
		set[v] = true
	}
	return func(i int) bool { return set[at(i)] }
}
