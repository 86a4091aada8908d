package reader

import (
	"context"
	"fmt"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/merge"
)

// newExplanation returns the explanation of an attempt, or nil if the query asks for none.
func newExplanation(q *query.Query, attempt int) *query.Explanation {
	if !q.Explain {
		return nil
	}
	return &query.Explanation{Attempts: attempt, Live: []query.LiveReading{}, Milliseconds: map[string]float64{}}
}

// time observes how long a stage takes, in the metrics and in the explanation.
func (r *Reader) time(stage string, e *query.Explanation) (stop func()) {
	observe := r.metrics.time(stage)
	began := time.Now()
	return func() {
		observe()
		e.Time(stage, time.Since(began))
	}
}

// explainBatch says what the batch layer read for a part.
func (r *Reader) explainBatch(e *query.Explanation, state *record.State, scan *query.Scan, part *query.Part,
	kept bool) {
	if e == nil {
		return
	}
	e.Batch = &query.BatchReading{Groups: part.Rows(), Kept: kept}
	width := r.Catalog.Catalog().Bucket.Microseconds()
	from := scan.Windows.From - scan.Windows.From%width
	for _, b := range state.Views[scan.View.Name].VersionsBetween(from, scan.Windows.To) {
		if b.Rows > 0 {
			e.Batch.Buckets++
			e.Batch.Rows += b.Rows
		}
	}
}

// explain completes the explanation of an answer. Without one it does nothing.
func (r *Reader) explain(ctx context.Context, a *merge.Answer, scan *query.Scan, state *record.State,
	e *query.Explanation) error {
	if e == nil {
		return nil
	}
	e.Publication = state.N
	if e.Batch != nil && r.Objects != nil {
		began := time.Now()
		var err error
		e.Objects, err = r.Objects(ctx, state, scan.View.Event, scan.Windows.From, scan.Windows.To)
		if err != nil {
			return fmt.Errorf("%w: list the objects of an explanation: %w", ErrPublications, err)
		}
		e.Time("objects", time.Since(began))
	}
	a.Explanation = e
	return nil
}
