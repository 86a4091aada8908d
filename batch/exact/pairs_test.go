package exact

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPairs adds more pairs than the table of recent ones holds, in an order in which they come again, and compares the
// set with one of maps.
func TestPairs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var p pairs
	for range 2 { // The second time the memory of the first is used again.
		p.reset()
		want := map[int32]map[uint64]bool{}
		for range 4 * recentPairs {
			g := int32(r.IntN(50) * r.IntN(2)) // Half of the pairs are of one group.
			h := uint64(r.IntN(2 * recentPairs))
			p.add(g, h)
			if want[g] == nil {
				want[g] = map[uint64]bool{}
			}
			want[g][h] = true
		}
		order := []int32{49, 0}
		for g := range int32(48) {
			order = append(order, g+1)
		}
		hashes, starts := p.hashesByGroup(order)
		for i, g := range order {
			got := hashes[starts[i]:starts[i+1]]
			if len(got) != len(want[g]) || !slices.IsSorted(got) {
				t.Fatalf("group %d has %d hashes, want %d in order", g, len(got), len(want[g]))
			}
			for _, h := range got {
				if !want[g][h] {
					t.Fatalf("group %d has hash %d, which nobody added", g, h)
				}
			}
		}
	}
}
