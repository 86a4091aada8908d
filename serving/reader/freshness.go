package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
)

// Await waits until an answer to the query has what min_through and max_staleness ask for, or until patience is at its
// end. It reads only how far the layers are, so it is cheap. It looks again after pauses that double, and not whenever
// a message is counted: thousands of them may come in a second, and a pause is a fraction of what was waited already.
//
// The errors are those of Answer. A *query.ShortError or *query.StaleError says what was missing in the end.
func (r *Reader) Await(ctx context.Context, q *query.Query, tenant string, patience time.Duration) error {
	end := time.NewTimer(patience)
	defer end.Stop()
	w := awaited{reader: r, query: *q, tenant: tenant}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := w.look(ctx)
		if !isUnmet(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return err
		case <-time.After(pause):
		}
	}
}

const (
	firstPause   = time.Millisecond
	longestPause = 100 * time.Millisecond
)

// isUnmet reports whether an answer only lacks what the query asks to wait for.
func isUnmet(err error) bool {
	var short *query.ShortError
	var stale *query.StaleError
	return errors.As(err, &short) || errors.As(err, &stale)
}

// awaited is a query that waits. Its scan is that of the publication at the last look.
type awaited struct {
	reader *Reader
	query  query.Query
	tenant string
	scan   *query.Scan
	pinned uint64
}

// look checks once whether the query has what it waits for.
func (w *awaited) look(ctx context.Context) error {
	state, err := w.reader.pin(ctx, &w.query)
	if err != nil {
		return err
	}
	if w.scan == nil || w.pinned != state.N {
		c, err := w.reader.definition(ctx, &w.query, state)
		if err != nil {
			return err
		}
		resolved := w.query
		if w.scan, err = resolved.Resolve(c, w.tenant); err != nil {
			return err
		}
		w.query.Mode = resolved.Mode
		w.pinned = state.N
	}
	live := nothingLive(state)
	switch {
	case w.query.Mode == query.Exact:
	case w.reader.Reach == nil && w.reader.Live != nil:
		return nil // Only an answer can tell.
	case w.reader.Reach != nil:
		if reached, err := w.reader.Reach(w.scan, state.H); err == nil {
			live = reached
		}
	}
	return w.reader.checkFresh(&w.query, w.scan, state, live)
}

// nothingLive is the live part without a speed layer.
func nothingLive(state *record.State) *query.LivePart {
	nothing := &query.LivePart{Through: slices.Clone(state.H)}
	for p := range state.H {
		nothing.Stale = append(nothing.Stale, p)
	}
	return nothing
}

// checkFresh returns an error if an answer with this live part lacks what min_through asks for, or is older than
// max_staleness. So no answer is given that does, also where Await was not called, or knew less.
func (r *Reader) checkFresh(q *query.Query, scan *query.Scan, state *record.State, live *query.LivePart) error {
	if !q.WaitsFor() {
		return nil
	}
	if q.Mode == query.Exact && r.Reach != nil {
		// Messages without events at the end of the log stay out of publications, and no answer lacks them.
		if reached, err := r.Reach(scan, state.H); err == nil && reached.Pending == 0 {
			live = reached
		}
	}
	fixed := q.Mode == query.Exact && q.AsOf != nil // Waiting does not help.
	switch short := shortOf(q.MinThrough, live.Through); {
	case len(short) > 0 && fixed:
		return &query.Error{Field: "min_through", Msg: fmt.Sprintf("publication %d, which as_of names, does not have "+
			"it and never will; leave as_of out", state.N)}
	case len(short) > 0:
		return &query.ShortError{Missing: short, Mode: q.Mode}
	}
	limit, limited, err := q.StalenessLimit()
	if err != nil || !limited {
		return err
	}
	if age, known := r.age(q.Mode, state, live); !known || age > limit {
		if !known {
			age = -1
		}
		if fixed {
			return &query.Error{Field: "max_staleness", Msg: fmt.Sprintf("publication %d, which as_of names, is %s "+
				"old and gets no newer; leave as_of out", state.N, age.Round(time.Millisecond))}
		}
		return &query.StaleError{Age: age, Limit: limit, Mode: q.Mode}
	}
	return nil
}

// shortOf returns the partitions in which an answer through these offsets lacks something.
func shortOf(m *query.MinThrough, through []position.Offset) (short []query.Short) {
	if m == nil {
		return nil
	}
	for p, next := range m.Next {
		reached := uint64(0)
		if p < len(through) {
			reached = through[p].Seq
		}
		if reached < next {
			short = append(short, query.Short{Partition: p, Through: reached, MinThrough: next})
		}
	}
	return short
}

// age returns how old an answer is. It is 0 if nothing is missing that the process knows to be in the log, however long
// ago the newest event came: a quiet log makes no number wrong. Otherwise it is the age of the newest event or, where a
// partition gives nothing, of the publication (Accuracy.LagMS).
func (r *Reader) age(mode query.Mode, state *record.State, live *query.LivePart) (age time.Duration, known bool) {
	if r.Known != nil && !isShort(live, r.Known()) {
		return 0, true
	}
	newest := time.Time{}
	if state.Publication != nil {
		newest = state.Publication.Created
	}
	if mode != query.Exact && live.Appended > 0 && len(live.Stale) == 0 {
		newest = time.UnixMicro(live.Appended)
	}
	return max(0, r.Now().Sub(newest)), !newest.IsZero()
}
