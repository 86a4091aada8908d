package janitor

import (
	"recount/schemas/fault"
	"recount/schemas/position"
	"recount/speed/realtime"
)

// Needed is the lowest sequence of each partition that anything still reads (L6): the cut
// of the oldest kept publication, the chain head, the newest snapshot and the real-time
// views. It holds for the process whose views these are; a process that does not run
// every reader of the log itself cannot know, and trims nothing.
func Needed(oldestKept, heads []position.Offset, views []realtime.PartitionStatus) []uint64 {
	needed := make([]uint64, len(heads))
	for p := range needed {
		needed[p] = min(oldestKept[p].Seq, heads[p].Seq, views[p].Snapshot, views[p].Through.Seq)
		if fault.Off(fault.L6) {
			needed[p] = heads[p].Seq
		}
	}
	return needed
}
