package janitor

import (
	"math"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// Needed is the lowest sequence of each partition that anything still reads (L6): the cut
// of the oldest kept publication, the chain head, and the newest snapshot and offset of the
// real-time views of this process, if it has some.
//
// Views of other processes are not asked, so any process may trim, one that wakes up from
// long ago too: publications and chain heads are records that all share and that never go
// back. Views further behind than the oldest kept publication go on there, because what
// the log forgot is in the batch view; jobs/DESIGN.md says what that costs.
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
