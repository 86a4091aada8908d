package realtime

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/query"
)

// extremes are minima or maxima of int64, timestamp or float64 values.
type extremes[T int64 | float64] struct {
	max  bool
	rows []extreme[T]
}

type extreme[T int64 | float64] struct {
	n     uint64
	value T
}

func (s *extremes[T]) grow(rows int) { s.rows = resize(s.rows, rows) }
func (s *extremes[T]) bytes() int64  { return int64(16 * cap(s.rows)) }

func (s *extremes[T]) add(col arrow.Array, selected []int32, rows []uint32) {
	values := valuesOf[T](col)
	if values == nil {
		return
	}
	nulls := col.NullN() > 0
	for k, i := range selected {
		if nulls && col.IsNull(int(i)) {
			continue
		}
		a := &s.rows[rows[k]]
		v := values[i]
		if a.n == 0 || s.beats(v, a.value) {
			a.value = v
		}
		a.n++
	}
}

func (s *extremes[T]) beats(v, old T) bool {
	if s.max {
		return v > old
	}
	return v < old
}

func valuesOf[T int64 | float64](col arrow.Array) []T {
	var out any
	switch c := col.(type) {
	case *array.Int64:
		out = c.Int64Values()
	case *array.Timestamp:
		out = arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(c.TimestampValues()))
	case *array.Float64:
		out = c.Float64Values()
	}
	values, _ := out.([]T)
	return values
}

func (s *extremes[T]) merge(into []query.Acc, target []int32) {
	for r, t := range target {
		if t < 0 || s.rows[r].n == 0 {
			continue
		}
		a := &into[t]
		if a.N == 0 || s.beats(s.rows[r].value, valueOf[T](a)) {
			setValue(a, s.rows[r].value)
		}
		a.N += s.rows[r].n
	}
}

func valueOf[T int64 | float64](a *query.Acc) T {
	var v T
	switch p := any(&v).(type) {
	case *int64:
		*p = int64(a.Lo)
	case *float64:
		*p = a.Float
	}
	return v
}

func setValue[T int64 | float64](a *query.Acc, v T) {
	switch v := any(v).(type) {
	case int64:
		a.Lo = uint64(v)
	case float64:
		a.Float = v
	}
}
