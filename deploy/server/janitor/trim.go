package janitor

import (
	"math"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// Needed returns the lowest sequence of each partition that any reader still needs (L6). That is the
// lowest of the cut of the oldest kept publication, the chain's head, and the newest snapshot and the
// offset of this process's real-time views, if it has them.
//
// The views of other processes are not asked. So any process may trim, even one that was suspended for
// long: all processes share the publications and chain heads, which never go back. Views that lag
// further than the oldest kept publication continue from it, because the batch view has the trimmed
// events. jobs/DESIGN.md says what that costs.
func Needed(oldestKept []position.Offset, chains []*record.Chain, own []realtime.PartitionStatus) []uint64 {
	needed := make([]uint64, len(chains))
	for p, c := range chains {
		needed[p] = min(oldestKept[p].Seq, c.Head.Seq)
		if len(own) > 0 {
			needed[p] = min(needed[p], own[p].Snapshot, own[p].Through.Seq)
		}
		if failpoint.Off(failpoint.L6) {
			needed[p] = math.MaxUint64
		}
	}
	return needed
}
