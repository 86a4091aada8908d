package reader

import (
	"context"
	"fmt"
	"slices"

	"recount/schemas/position"
	"recount/schemas/query"
)

// Standing names what the answer to a query is a function of now: the publication, the definition of the view, the
// range, how far the layers are and what is known to be missing. While it stays the same, so does the answer to the
// same query but for Accuracy.LagMS. It reads no rows, so it is cheap to ask for again and again. It is empty where
// only an answer can tell.
//
// The errors are those of Answer.
func (r *Reader) Standing(ctx context.Context, q *query.Query, tenant string) (string, error) {
	asked := *q
	state, err := r.pin(ctx, &asked)
	if err != nil {
		return "", err
	}
	scan, err := r.resolve(ctx, &asked, state, tenant)
	if err != nil {
		return "", err
	}
	live := &query.LivePart{Through: slices.Clone(state.H)}
	if asked.Mode != query.Exact {
		if r.Live == nil {
			live = nothingLive(state)
		} else if live = r.reached(scan, state.H); live == nil {
			return "", nil
		}
	}
	short := isShort(live, r.known(ctx, &asked))
	return fmt.Sprintf("%d %q %q %q %d %d %v %v %v %d %d %t", state.N, state.Digest, scan.Digest,
		state.Views[scan.View.Name].Digest, scan.Windows.From, scan.Windows.To, live.Through, live.Stale, live.Lagging,
		live.Pending, live.Appended, short), nil
}

// reached returns how far the real-time views would come, or nil if it is not known.
func (r *Reader) reached(scan *query.Scan, cut []position.Offset) *query.LivePart {
	if r.Reach == nil {
		return nil
	}
	live, err := r.Reach(scan, cut)
	if err != nil || len(live.Refused) > 0 {
		return nil
	}
	return live
}
