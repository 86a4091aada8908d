package exact

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/quantile"
)

// bins is how many values of every group are in each bin. Like pairs, it is a list, and a small table finds its recent
// entries. A bin that comes again after it left the table has several entries, which are added up at the end.
type bins struct {
	recent []recentBin // by slot
	counts []binCount
	groups []int32 // of each entry of counts
}

type binCount struct {
	n   uint64
	key int16
}

type recentBin struct {
	binCount
	group int32 // the group + 1; 0 is an empty slot
}

// reset empties the list. It keeps the memory.
func (b *bins) reset() {
	b.counts = b.counts[:0]
	b.groups = b.groups[:0]
	b.recent = resize(b.recent, recentPairs)
	clear(b.recent)
}

func (b *bins) add(group int32, key int16) {
	hi, lo := bits.Mul64(uint64(group)<<16^uint64(uint16(key)), multiplier)
	slot := &b.recent[(hi^lo)%recentPairs]
	if slot.group != group+1 || slot.key != key {
		b.flush(slot)
		*slot = recentBin{binCount{0, key}, group + 1}
	}
	slot.n++
}

// flush moves a recent entry, if there is one, to the list.
func (b *bins) flush(slot *recentBin) {
	if slot.group > 0 {
		b.counts = append(b.counts, slot.binCount)
		b.groups = append(b.groups, slot.group-1)
	}
}

// binsByGroup returns the bins of every group, with ascending keys within the group, in the given order of groups.
// Those of group order[r] are from starts[r] to before starts[r+1]. Afterwards the list is empty.
func (b *bins) binsByGroup(order []int32) (keys []int16, counts []uint64, starts []int) {
	for i := range b.recent {
		b.flush(&b.recent[i])
	}
	entries, ends := byRow(b.counts, b.groups, order)
	b.reset()
	starts = make([]int, len(order)+1)
	from := 0
	for r := range order {
		all := entries[from:ends[r]]
		from = ends[r]
		slices.SortFunc(all, func(x, y binCount) int { return cmp.Compare(x.key, y.key) })
		for _, e := range all {
			if last := len(keys) - 1; last >= starts[r] && keys[last] == e.key {
				counts[last] += e.n
				continue
			}
			keys = append(keys, e.key)
			counts = append(counts, e.n)
		}
		starts[r+1] = len(keys)
	}
	return keys, counts, starts
}

// addBins reports whether the column has the declared type.
func (a *accumulator) addBins(column arrow.Array, rowGroups []int32) bool {
	switch c := column.(type) {
	case *array.Float64:
		a.eachValue(c, rowGroups, func(g int32, i int) { a.bins.add(g, quantile.KeyOfFloat(c.Value(i))) })
	case *array.Int64:
		a.eachValue(c, rowGroups, func(g int32, i int) { a.bins.add(g, quantile.KeyOfInt(c.Value(i))) })
	default:
		return false
	}
	return true
}
