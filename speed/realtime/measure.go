package realtime

import (
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/floatsum"
	"recount/schemas/query"
)

// measure holds the values of one measure for every row of a table.
type measure interface {
	grow(rows int)
	// add adds the value in row selected[k] of the column to row rows[k], unless it is null.
	add(col arrow.Array, selected []int32, rows []uint32)
	// merge adds row r to into[target[r]], unless target[r] is negative.
	merge(into []query.Acc, target []int32)
	bytes() int64
	encode(b []byte) []byte
	decode(d *decoder, rows int)
}

// newMeasure returns nil for a count, which is the row's number of events.
func newMeasure(kind catalog.MeasureKind, t catalog.FieldType) measure {
	switch {
	case kind == catalog.Count:
		return nil
	case kind == catalog.Distinct:
		return &sketches{}
	case kind == catalog.Quantile:
		return &bins{}
	case kind == catalog.Sum || kind == catalog.Avg:
		if t == catalog.Float64 {
			return &floatSums{}
		}
		return &intSums{}
	case t == catalog.Float64:
		return &extremes[float64]{max: kind == catalog.Max}
	}
	return &extremes[int64]{max: kind == catalog.Max}
}

// doubledItems is up to how many items a slice grows by doubling. A longer one grows by half, because what it has free
// counts towards the budget of memory.
const doubledItems = 1 << 20

// resize returns s with length n. The added items are zero, unless s was longer before.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	grown := 2 * cap(s)
	if grown > doubledItems {
		grown = max(doubledItems, cap(s)+cap(s)/2)
	}
	next := make([]T, n, max(n, grown, 16))
	copy(next, s)
	return next
}

// intSums are sums of int64 values in 128 bits, so that no number of events overflows them.
type intSums struct{ rows []intSum }

type intSum struct {
	n  uint64
	hi int64
	lo uint64
}

func (s *intSums) grow(rows int) { s.rows = resize(s.rows, rows) }
func (s *intSums) bytes() int64  { return int64(24 * cap(s.rows)) }

func (s *intSums) add(col arrow.Array, selected []int32, rows []uint32) {
	c, ok := col.(*array.Int64)
	if !ok {
		return
	}
	values := c.Int64Values()
	nulls := c.NullN() > 0
	for k, i := range selected {
		if nulls && c.IsNull(int(i)) {
			continue
		}
		a := &s.rows[rows[k]]
		v := values[i]
		carry := uint64(0)
		a.n++
		a.lo, carry = bits.Add64(a.lo, uint64(v), 0)
		a.hi += v>>63 + int64(carry)
	}
}

func (s *intSums) merge(into []query.Acc, target []int32) {
	for r, t := range target {
		if t >= 0 {
			into[t].N += s.rows[r].n
			into[t].AddWide(s.rows[r].hi, s.rows[r].lo)
		}
	}
}

// floatSums are exact sums of float64 values. They do not depend on the order of the log.
type floatSums struct {
	rows []floatSum
	far  map[uint32]floatsum.Far // by row; values that are too large or too small for near are rare
	bins int                     // how many bins far has in all
}

type floatSum struct {
	n    uint64
	near floatsum.Near
}

const (
	floatSumSize = 40
	farSize      = 64 // approximate bytes of a row in far, without its bins
	binSize      = 24
)

func (s *floatSums) grow(rows int) { s.rows = resize(s.rows, rows) }

func (s *floatSums) bytes() int64 {
	return int64(floatSumSize*cap(s.rows) + farSize*len(s.far) + binSize*s.bins)
}

func (s *floatSums) add(col arrow.Array, selected []int32, rows []uint32) {
	c, ok := col.(*array.Float64)
	if !ok {
		return
	}
	values := c.Float64Values()
	nulls := c.NullN() > 0
	for k, i := range selected {
		if nulls && c.IsNull(int(i)) {
			continue
		}
		a := &s.rows[rows[k]]
		a.n++
		if !a.near.Add(values[i]) {
			s.setFar(rows[k], s.far[rows[k]].Add(values[i]))
		}
	}
}

// setFar replaces the far part of a row.
func (s *floatSums) setFar(row uint32, far floatsum.Far) {
	if s.far == nil {
		s.far = map[uint32]floatsum.Far{}
	}
	s.bins += len(far) - len(s.far[row])
	if s.far[row] = far; len(far) == 0 {
		delete(s.far, row)
	}
}

func (s *floatSums) merge(into []query.Acc, target []int32) {
	var slab floatsum.Slab
	for r, t := range target {
		if t < 0 {
			continue
		}
		a := &into[t]
		if a.Sum == nil {
			a.Sum = slab.New()
		}
		a.N += s.rows[r].n
		a.Sum.Near.Merge(&s.rows[r].near)
	}
	for r, far := range s.far {
		if t := target[r]; t >= 0 {
			into[t].Sum.Far = into[t].Sum.Far.Merge(far)
		}
	}
}
