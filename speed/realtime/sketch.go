package realtime

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/distinct"
	"recount/schemas/query"
)

// sketches are the sets of distinct values of a field.
type sketches struct {
	rows []distinct.Sketch
	held int64 // bytes of the sets; to ask every sketch for its size would cost more than to add a value
}

// sketchSize is the size of an empty distinct.Sketch in bytes.
const sketchSize = 56

func (s *sketches) grow(rows int) { s.rows = resize(s.rows, rows) }
func (s *sketches) bytes() int64  { return int64(sketchSize*cap(s.rows)) + s.held }

func (s *sketches) add(col arrow.Array, selected []int32, rows []uint32) {
	hash := hasher(col)
	if hash == nil {
		return
	}
	nulls := col.NullN() > 0
	for k, i := range selected {
		if nulls && col.IsNull(int(i)) {
			continue
		}
		a := &s.rows[rows[k]]
		before := a.Bytes()
		a.Add(hash(int(i)))
		s.held += a.Bytes() - before
	}
}

// hasher returns the hash of a row's value, or nil if there is no such column.
func hasher(col arrow.Array) func(int) uint64 {
	switch c := col.(type) {
	case *array.String:
		return func(i int) uint64 { return distinct.HashString(c.Value(i)) }
	case *array.Int64:
		return func(i int) uint64 { return distinct.HashInt64(c.Value(i)) }
	case *array.Timestamp:
		return func(i int) uint64 { return distinct.HashInt64(int64(c.Value(i))) }
	case *array.Float64:
		return func(i int) uint64 { return distinct.HashFloat64(c.Value(i)) }
	case *array.Boolean:
		return func(i int) uint64 {
			if c.Value(i) {
				return distinct.HashInt64(1)
			}
			return distinct.HashInt64(0)
		}
	}
	return nil
}

func (s *sketches) merge(into []query.Acc, target []int32) {
	for r, t := range target {
		if t < 0 {
			continue
		}
		if into[t].Sketch == nil {
			into[t].Sketch = &distinct.Sketch{}
		}
		into[t].Sketch.Merge(&s.rows[r])
	}
}

// targeted returns the bytes of the sketches that merge adds to others: at most by so much do those grow.
func (s *sketches) targeted(target []int32) (bytes int64) {
	for r, t := range target {
		if t >= 0 {
			bytes += s.rows[r].Bytes()
		}
	}
	return bytes
}
