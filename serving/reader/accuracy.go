package reader

import (
	"slices"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
)

// accuracy returns the publication, H, S and the lag of an answer (Q4), and whether it is complete (Q6).
func (r *Reader) accuracy(state *record.State, live *query.LivePart, known []uint64) query.Accuracy {
	stale := append(append([]int{}, live.Stale...), live.Lagging...)
	slices.Sort(stale)
	a := query.Accuracy{
		Publication: state.N, Cut: sequences(state.H), Through: sequences(live.Through),
		PendingEvents: live.Pending, Complete: len(stale) == 0 && !isShort(live, known), StalePartitions: stale,
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

// filledFrom returns from when the publication has the view filled, if the query reaches back before that (B8). A query
// without from does: the beginning of the data is not known before the view is filled.
func filledFrom(state *record.State, asked *query.Query, scan *query.Scan) *time.Time {
	fill := state.Views[scan.View.Name].Fill
	if fill == nil || scan.Windows.From >= fill.From && !asked.From.IsZero() {
		return nil
	}
	from := time.UnixMicro(fill.From).UTC()
	return &from
}

// isShort reports whether the answer ends before something that is known to be acknowledged.
func isShort(live *query.LivePart, known []uint64) bool {
	for p, seq := range known {
		if live.Through[p].Seq < seq {
			return true
		}
	}
	return false
}

func sequences(offsets []position.Offset) []uint64 {
	out := make([]uint64, len(offsets))
	for p, o := range offsets {
		out[p] = o.Seq
	}
	return out
}
