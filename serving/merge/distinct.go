package merge

import (
	"math"

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
//
// u is where the registers of one row after another are united; what it holds does not matter.
func mergeDistinct(batch, live *query.Acc, u *distinct.Union) bounds {
	var e int64
	if batch != nil {
		e = int64(batch.Exact)
	}
	if live == nil || live.Sketch == nil {
		return bounds{value: e, low: e, high: e}
	}
	low, high := setSize(live.Sketch)
	d := bounds{low: max(e, low), high: e + high}
	u.Reset()
	if batch != nil {
		for _, r := range batch.Registers {
			u.Raise(r)
		}
		d.low = max(d.low, e+certainlyNew(u, live.Sketch.Hashes()))
	}
	switch {
	case e == 0:
		// A sketch that has just ceased to be exact may estimate less than it held then.
		d.low = low
		d.value = min(max(int64(live.Sketch.Estimate()), low), high)
	case d.low == d.high:
		d.value = d.low
	default:
		gain, union := gainOf(u, live.Sketch)
		d.low = max(d.low, union-margin(union))
		d.high = min(d.high, union+margin(union))
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

// certainlyNew counts the hashes whose rank is above their register's in the batch set.
func certainlyNew(batch *distinct.Union, hashes []uint64) int64 {
	var n int64
	for _, h := range hashes {
		if r := distinct.Register(h); uint8(r) > batch.Rank(r) {
			n++
		}
	}
	return n
}

// gainOf adds the live set to the batch set in u and estimates |B ∪ L| − |B| and |B ∪ L|.
func gainOf(u *distinct.Union, live *distinct.Sketch) (gain, union int64) {
	before := int64(u.Approximate())
	u.Add(live)
	union = int64(u.Approximate())
	return max(0, union-before), union
}
