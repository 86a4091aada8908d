package reader

import (
	"slices"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
)

// accuracy returns the publication, H, S and the lag of an answer (Q4).
func (r *Reader) accuracy(state *record.State, live *query.LivePart) query.Accuracy {
	a := query.Accuracy{
		Publication: state.N, Cut: sequences(state.H), Through: sequences(live.Through),
		PendingEvents: live.Pending, Complete: len(live.Stale) == 0, StalePartitions: append([]int{}, live.Stale...),
	}
	if failpoint.Off(failpoint.Q4) {
		a.Through = slices.Clone(a.Cut)
	}
	var newest int64 // time of the newest event or of the publication, in microseconds
	if state.Publication != nil {
		created := state.Publication.Created.UTC()
		a.AsOf = &created
		newest = created.UnixMicro()
	}
	if live.Appended > 0 {
		newest = live.Appended
	}
	if newest > 0 {
		lag := max(0, r.Now().UnixMicro()-newest) / 1000
		a.LagMS = &lag
	}
	return a
}

func sequences(offsets []position.Offset) []uint64 {
	out := make([]uint64, len(offsets))
	for p, o := range offsets {
		out[p] = o.Seq
	}
	return out
}
