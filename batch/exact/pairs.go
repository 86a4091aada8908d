package exact

import (
	"math/bits"
	"slices"
)

// pairs is the distinct values of every group, as pairs of a group and the hash of a value. A table of all pairs would
// miss the processor's cache at nearly every row. So a small table holds recent pairs alone, and a pair that comes
// again after it left the table is kept twice. Such copies go at the end, when the hashes of each group are sorted.
type pairs struct {
	recent []pair // by slot
	hashes []uint64
	groups []int32
}

type pair struct {
	hash  uint64
	group int32 // the group + 1; 0 is an empty slot
}

// recentPairs is the size of the table of recent pairs, which fits the processor's second cache.
const recentPairs = 1 << 14

// reset empties the set. It keeps the memory.
func (p *pairs) reset() {
	p.hashes = p.hashes[:0]
	p.groups = p.groups[:0]
	p.recent = resize(p.recent, recentPairs)
	clear(p.recent)
}

func (p *pairs) add(group int32, hash uint64) {
	hi, lo := bits.Mul64(hash^uint64(group)*multiplier, multiplier)
	slot := &p.recent[(hi^lo)%recentPairs]
	if found := (pair{hash, group + 1}); *slot != found {
		*slot = found
		p.hashes = append(p.hashes, hash)
		p.groups = append(p.groups, group)
	}
}

// hashesByGroup returns the hashes of every group, ascending and unique within the group, in the given order of
// groups. The hashes of group order[r] are hashes[starts[r]:starts[r+1]].
func (p *pairs) hashesByGroup(order []int32) (hashes []uint64, starts []int) {
	hashes, ends := byRow(p.hashes, p.groups, order)
	starts = make([]int, len(order)+1)
	from := 0
	n := 0
	for r := range order {
		all := hashes[from:ends[r]]
		from = ends[r]
		slices.Sort(all)
		n += copy(hashes[n:], slices.Compact(all))
		starts[r+1] = n
	}
	return hashes[:n], starts
}

// byRow returns the values, of which each belongs to a group, in the given order of groups. Those of group order[r] end
// before ends[r].
func byRow[T any](values []T, groups, order []int32) (sorted []T, ends []int) {
	rank := make([]int32, len(order))
	for r, g := range order {
		rank[g] = int32(r)
	}
	next := make([]int, len(order)+1) // by row, where its next value goes
	for _, g := range groups {
		next[rank[g]+1]++
	}
	for r := range order {
		next[r+1] += next[r]
	}
	sorted = make([]T, len(values))
	for e, g := range groups {
		r := rank[g]
		sorted[next[r]] = values[e]
		next[r]++
	}
	return sorted, next // Each place has moved to where its row ends.
}
