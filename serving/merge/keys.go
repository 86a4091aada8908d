package merge

import (
	"math"
	"slices"
)

// sortKey is one key of the order: the rank of each row, from 0 to max, in the direction of the
// order. Rows that compare as equal have equal ranks.
type sortKey struct {
	rank []uint64
	max  uint64
}

// newKey makes a key from values that compare as unsigned numbers. Nulls rank last. It reuses
// the slice of values.
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
	if low > high { // There is no value, so all rows are equal.
		clear(values)
		return sortKey{rank: values}
	}
	if nulls && high-low == math.MaxUint64 {
		return newKey(denseRanks(values), null, desc)
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

// denseRanks replaces each value by its rank among all values. The ranks leave room for null.
func denseRanks(values []uint64) []uint64 {
	unique := slices.Compact(slices.Sorted(slices.Values(values)))
	for i, v := range values {
		rank, _ := slices.BinarySearch(unique, v)
		values[i] = uint64(rank)
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
