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
// size is known to BoundErrors standard errors and the bounds are that much wider.
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
		d.low, d.value = low, int64(live.Sketch.Estimate())
	case d.low == d.high:
		d.value = d.low
	default:
		d.value = min(max(e+unionGain(batch.Registers, live.Sketch), d.low), d.high)
	}
	d.added = d.value - e
	return d
}

// setSize returns the range the number of elements lies in: one number while exact.
func setSize(s *distinct.Sketch) (low, high int64) {
	n := int64(s.Estimate())
	if s.Exact() {
		return n, n
	}
	margin := int64(math.Ceil(BoundErrors * distinct.StandardError * float64(n)))
	return max(distinct.ExactLimit+1, n-margin), n + margin
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

func unionGain(registers []uint32, live *distinct.Sketch) int64 {
	var s distinct.Sketch
	for _, r := range registers {
		s.AddRegister(r)
	}
	before := s.Approximate()
	s.Merge(live)
	return max(0, int64(s.Approximate())-int64(before))
}
