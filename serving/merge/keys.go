package merge

import (
	"math"
	"slices"
)

// sortKey is one key of the order: the rank of every row, 0 to max, in the order's
// direction. Rows that compare equal have equal ranks.
type sortKey struct {
	rank []uint64
	max  uint64
}

// newKey makes a key of values that compare as unsigned numbers. Nulls rank last.
func newKey(values []uint64, null []bool, desc bool) sortKey {
	low := uint64(math.MaxUint64)
	high := uint64(0)
	nulls := false
	for i, v := range values {
		if null != nil && null[i] {
			nulls = true
			continue
		}
		low = min(low, v)
		high = max(high, v)
	}
	if low > high {
		return sortKey{values, 0}.constant()
	}
	if nulls && high-low == math.MaxUint64 {
		return newKey(dense(values, null), null, desc)
	}
	k := sortKey{rank: values, max: high - low}
	for i, v := range values {
		switch {
		case nulls && null[i]:
			values[i] = k.max + 1
		case desc:
			values[i] = high - v
		default:
			values[i] = v - low
		}
	}
	if nulls {
		k.max++
	}
	return k
}

func (k sortKey) constant() sortKey {
	clear(k.rank)
	return k
}

// dense replaces values by their rank among all, which leaves room above for null.
func dense(values []uint64, null []bool) []uint64 {
	unique := slices.Compact(slices.Sorted(slices.Values(values)))
	for i, v := range values {
		at, _ := slices.BinarySearch(unique, v)
		values[i] = uint64(at)
	}
	return values
}

// ordinal maps an int64 to a uint64 of the same order.
func ordinal(v int64) uint64 { return uint64(v) ^ 1<<63 }

// floatOrdinal maps a float64 that is not NaN to a uint64 of the same order.
func floatOrdinal(f float64) uint64 {
	b := math.Float64bits(f + 0)
	if b>>63 == 1 {
		return ^b
	}
	return b | 1<<63
}
