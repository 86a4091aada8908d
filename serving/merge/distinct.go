package merge

import (
	"math"

	"recount/schemas/distinct"
	"recount/schemas/query"
)

// BoundErrors is the distance from the estimate of a live sketch to its bounds, in standard
// errors. It applies once the sketch is no longer exact. A normally distributed error exceeds
// five standard errors once in 1.7 million.
const BoundErrors = 5

// scratch is what the sets of a measure are united with, one group after another.
type scratch struct {
	union   distinct.Union
	overlap distinct.Overlap
}

// bounds is a distinct count, the range of the true count, and what the live part added.
type bounds struct{ value, low, high, added int64 }

// limits are the bounds of a value. They are equal if it is exact.
type limits struct{ low, high value }

// mergeDistinct counts E ∪ L exactly where the hashes of the batch set E and of the live set L are at hand. Otherwise
// it estimates |E ∪ L| from the exact size of E, its registers B and L.
//
// While L is exact, its size is known. So is a part of what it adds: a hash that would raise a
// register of B cannot be in E, because E would have raised the register already. So
//
//	max(|L|, |E| + certainly new) <= |E ∪ L| <= |E| + |L|
//
// always holds. Where both sides are equal, the count is exact. Between them the estimate is
// |E| + |B ∪ L| − |B|, and only its live part has an error. When L is no longer exact, its size is
// known to BoundErrors standard errors. The estimate of |B ∪ L| gives further bounds, to as many
// standard errors. The narrower bounds are stated.
//
// The content of s is overwritten.
func mergeDistinct(batch, live *query.Acc, s *scratch) bounds {
	var e int64
	if batch != nil {
		e = int64(batch.Exact)
	}
	if live == nil || live.Sketch == nil {
		return bounds{value: e, low: e, high: e}
	}
	if batch != nil && batch.Set.HasHashes() && live.Sketch.Exact() {
		added := int64(len(live.Sketch.Hashes()) - s.overlap.Count(batch.Set, live.Sketch))
		return bounds{value: e + added, low: e + added, high: e + added, added: added}
	}
	u := &s.union
	low, high := setSize(live.Sketch)
	d := bounds{low: max(e, low), high: e + high}
	u.Reset()
	if batch != nil {
		u.AddSet(batch.Set)
		d.low = max(d.low, e+certainlyNew(u, live.Sketch.Hashes()))
	}
	switch {
	case e == 0:
		// A sketch that is no longer exact may estimate fewer elements than the exact limit.
		d.low = low
		d.value = min(max(int64(live.Sketch.Estimate()), low), high)
	case d.low == d.high:
		d.value = d.low
	default:
		gain, union := estimateGain(u, live.Sketch)
		d.low = max(d.low, union-margin(union))
		d.high = min(d.high, union+margin(union))
		d.high = max(d.high, d.low)
		d.value = min(max(e+gain, d.low), d.high)
	}
	d.added = d.value - e
	return d
}

// margin returns BoundErrors standard errors of an estimate of n.
func margin(n int64) int64 {
	return int64(math.Ceil(BoundErrors * distinct.StandardError * float64(n)))
}

// setSize returns the range of the number of elements. Both ends are equal while the sketch is exact.
func setSize(s *distinct.Sketch) (low, high int64) {
	n := int64(s.Estimate())
	if s.Exact() {
		return n, n
	}
	return max(distinct.ExactLimit+1, n-margin(n)), n + margin(n)
}

// certainlyNew counts the hashes whose rank is higher than their register's rank in the batch set.
func certainlyNew(batch *distinct.Union, hashes []uint64) int64 {
	var n int64
	for _, h := range hashes {
		if r := distinct.Register(h); uint8(r) > batch.Rank(r) {
			n++
		}
	}
	return n
}

// estimateGain adds the live set to the batch set in u and estimates |B ∪ L| − |B| and |B ∪ L|.
func estimateGain(u *distinct.Union, live *distinct.Sketch) (gain, union int64) {
	before := int64(u.Approximate())
	u.Add(live)
	union = int64(u.Approximate())
	return max(0, union-before), union
}
