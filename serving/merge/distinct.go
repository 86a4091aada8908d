package merge

import (
	"math"
	"slices"

	"recount/schemas/distinct"
	"recount/schemas/query"
)

// BoundErrors is how many standard errors the bounds of a live sketch that is no longer
// exact lie from its estimate. Within five, a normal error fails once in 1.7 million.
const BoundErrors = 5

// bounds is a distinct count with the range the true count lies in.
type bounds struct{ value, low, high, added int64 }

// mergeDistinct estimates |E ∪ L| from the exact size of the batch set E, its registers B
// and the live set L.
//
// While L is exact, its size is known, and so is a part of what it adds: a hash that would
// raise a register of B cannot be in E, or the register would have its rank already. So
//
//	max(|L|, |E| + certainly new) <= |E ∪ L| <= |E| + |L|
//
// holds always, and where both sides meet the count is exact. Between them the estimate is
// |E| + |B ∪ L| − |B|, whose error is on the live part only. When L is a sketch itself, its
// size is known to BoundErrors standard errors. The estimate of |B ∪ L| bounds the count
// as well, to as many standard errors, and the narrower bound is stated.
func mergeDistinct(batch, live *query.Acc) bounds {
	var e int64
	if batch != nil {
		e = int64(batch.Exact)
	}
	if live == nil || live.Sketch == nil {
		return bounds{value: e, low: e, high: e}
	}
	low, high := setSize(live.Sketch)
	d := bounds{low: max(e, low), high: e + high}
	if batch != nil && live.Sketch.Exact() {
		d.low = max(d.low, e+certainlyNew(batch.Registers, live.Sketch.Hashes()))
	}
	switch {
	case e == 0:
		// A sketch that has just ceased to be exact may estimate less than it held then.
		d.low, d.value = low, min(max(int64(live.Sketch.Estimate()), low), high)
	case d.low == d.high:
		d.value = d.low
	default:
		gain, union := unionOf(batch.Registers, live.Sketch)
		d.low, d.high = max(d.low, union-margin(union)), min(d.high, union+margin(union))
		d.high = max(d.high, d.low)
		d.value = min(max(e+gain, d.low), d.high)
	}
	d.added = d.value - e
	return d
}

// margin is BoundErrors standard errors of an estimate of n.
func margin(n int64) int64 {
	return int64(math.Ceil(BoundErrors * distinct.StandardError * float64(n)))
}

// setSize returns the range the number of elements lies in: one number while exact.
func setSize(s *distinct.Sketch) (low, high int64) {
	n := int64(s.Estimate())
	if s.Exact() {
		return n, n
	}
	return max(distinct.ExactLimit+1, n-margin(n)), n + margin(n)
}

// certainlyNew counts the hashes whose rank is above their register's.
func certainlyNew(registers []uint32, hashes []uint64) int64 {
	var n int64
	for _, h := range hashes {
		r := distinct.Register(h)
		// The first register of r's index or behind it; ascending order makes it the index's own.
		i, _ := slices.BinarySearch(registers, r&^0xff)
		if i == len(registers) || registers[i]>>8 != r>>8 || registers[i] < r {
			n++
		}
	}
	return n
}

// unionOf estimates |B ∪ L| − |B| and |B ∪ L|.
func unionOf(registers []uint32, live *distinct.Sketch) (gain, union int64) {
	var s distinct.Sketch
	for _, r := range registers {
		s.AddRegister(r)
	}
	before := int64(s.Approximate())
	s.Merge(live)
	union = int64(s.Approximate())
	return max(0, union-before), union
}
