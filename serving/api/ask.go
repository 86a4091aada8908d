package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
)

// MaxRestarts is how often a query begins again with a newer publication (Q2).
const MaxRestarts = 3

var (
	// errNotPublished: the pinned publication has no batch view of this definition yet (S5).
	errNotPublished = errors.New("the view is declared, but no publication holds it yet")
	// errNoLive: only the speed layer was asked, and it cannot answer.
	errNoLive = errors.New("the speed layer cannot answer")
)

// ask answers a resolved query.
func (a *API) ask(ctx context.Context, q *query.Query, scan *query.Scan) (*merge.Answer, error) {
	for restart := 0; ; restart++ {
		answer, err := a.attempt(ctx, q, scan, restart == MaxRestarts)
		again := errors.Is(err, query.ErrPinExpired) || errors.Is(err, query.ErrCollected)
		if !again || q.AsOf != nil || restart == MaxRestarts {
			return answer, err
		}
		a.metrics.restarts.Inc()
	}
}

// attempt is one pass of Q1 to Q4 under one pin. In the last one a speed layer that no
// longer reaches back to the pin is taken as down: the answer is exact, only older.
func (a *API) attempt(ctx context.Context, q *query.Query, scan *query.Scan, last bool) (*merge.Answer, error) {
	state, err := a.pin(ctx, q)
	if err != nil {
		return nil, err
	}
	if !published(state, scan) && q.Mode != query.Live {
		return nil, errNotPublished
	}
	live, err := a.askLive(ctx, q, scan, state, last)
	if err != nil {
		return nil, err
	}
	var batch *query.Part
	if q.Mode != query.Live && state.N > 0 {
		began := a.now()
		if batch, err = a.batch.Scan(ctx, state, scan, batchview.Options{Sketches: sketchWindows(scan, live)}); err != nil {
			return nil, err
		}
		a.metrics.layer.WithLabelValues("batch").Observe(a.now().Sub(began).Seconds())
	}
	return merge.Merge(scan, q, batch, live.Part, a.accuracy(state, live))
}

// pin is Q1.
func (a *API) pin(ctx context.Context, q *query.Query) (*record.State, error) {
	if q.AsOf != nil {
		return a.pubs.At(ctx, *q.AsOf)
	}
	return a.pubs.State(), nil
}

// published reports whether the batch view of the scan's definition covers everything
// below the pin's H. Before the first publication there is nothing below.
func published(s *record.State, scan *query.Scan) bool {
	v, ok := s.Views[scan.View.Name]
	return s.N == 0 || ok && v.Digest == scan.Digest
}

// askLive is Q2.
func (a *API) askLive(ctx context.Context, q *query.Query, scan *query.Scan, s *record.State, last bool) (*query.LivePart, error) {
	if q.Mode == query.Exact {
		return &query.LivePart{Through: s.H}, nil
	}
	if a.live == nil {
		return nothingLive(q, s.H, errNoLive)
	}
	began := a.now()
	live, err := a.live.Scan(ctx, scan, s.H)
	a.metrics.layer.WithLabelValues("speed").Observe(a.now().Sub(began).Seconds())
	switch {
	case err == nil:
		return live, nil
	case errors.Is(err, query.ErrPinExpired) && last, errors.Is(err, query.ErrViewNotReady):
		return nothingLive(q, s.H, err)
	}
	return nil, err
}

// nothingLive is what a speed layer that cannot answer gives: nothing of any partition.
func nothingLive(q *query.Query, h []position.Offset, cause error) (*query.LivePart, error) {
	if q.Mode == query.Live {
		return nil, errors.Join(errNoLive, cause)
	}
	stale := make([]int, len(h))
	for p := range stale {
		stale[p] = p
	}
	return &query.LivePart{Through: h, Stale: stale}, nil
}

// sketchWindows are the windows whose distinct measures need sketches: those with live rows.
func sketchWindows(scan *query.Scan, live *query.LivePart) []int32 {
	distinct := slices.ContainsFunc(scan.Measures, func(m query.Measure) bool { return m.Kind == catalog.Distinct })
	if !distinct || live.Part == nil {
		return nil
	}
	windows := slices.Clone(live.Part.Windows)
	slices.Sort(windows)
	return slices.Compact(windows)
}

// accuracy is Q4.
func (a *API) accuracy(s *record.State, live *query.LivePart) merge.Accuracy {
	acc := merge.Accuracy{Publication: s.N, Cut: sequences(s.H), Through: sequences(live.Through), PendingEvents: live.Pending,
		Complete: len(live.Stale) == 0, StalePartitions: append([]int{}, live.Stale...)}
	newest := live.Appended
	if s.Publication != nil {
		created := s.Publication.Created
		acc.AsOf = &created
		if newest == 0 {
			newest = created.UnixMicro()
		}
	}
	if newest > 0 {
		lag := max(0, a.now().Sub(time.UnixMicro(newest)).Milliseconds())
		acc.LagMS = &lag
	}
	return acc
}

func sequences(offsets []position.Offset) []uint64 {
	out := make([]uint64, len(offsets))
	for p, o := range offsets {
		out[p] = o.Seq
	}
	return out
}
