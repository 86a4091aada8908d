package reader

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/serving/batchview"
)

// Table says what a statement reads of a view.
type Table struct {
	View string
	// Batch asks for the rows of the publication, and Live for the real-time rows from H on.
	Batch, Live bool
}

// Snapshot is what one statement reads: the rows of one publication (Q1) and, of each view that it asks for, those of
// the real-time view when it began.
type Snapshot struct {
	State  *record.State
	Tables []SnapshotTable // in the order in which they were asked for
	// Accuracy covers all tables together: Through is the lowest of the live parts.
	Accuracy query.Accuracy
}

// SnapshotTable is what a statement reads of a view.
type SnapshotTable struct {
	// Catalog has the definition of the view by which the rows were counted (G5).
	Catalog *catalog.Catalog
	View    *catalog.View
	// Rows says how to read the rows of the publication. It is nil unless they were asked for.
	Rows *batchview.Rows
	// Scan and Live are the real-time rows by cell and all dimensions. Live is nil unless they were asked for.
	Scan *query.Scan
	Live *query.Part
}

// Prover proves that ClickHouse has the rows of a publication. *batchview.Views implements it.
type Prover interface {
	Rows(ctx context.Context, state *record.State, view *catalog.View) (*batchview.Rows, error)
}

// Snapshot pins a publication and reads what a tenant's statement needs besides ClickHouse. What it holds grows memory,
// which the caller closes also after an error.
//
// The errors are those of Answer.
func (r *Reader) Snapshot(ctx context.Context, tables []Table, tenant string, memory *query.Share,
	rows Prover) (*Snapshot, error) {
	var missing uint64
	for restarts := range 1 + MaxRestarts {
		s, err := r.snapshot(ctx, tables, tenant, memory, rows, restarts == MaxRestarts)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			return s, nil
		}
		if err := r.restart("of a statement", err, &missing, true); err != nil {
			return nil, err
		}
		memory.Close()
	}
	return nil, ErrRestarts
}

// snapshot makes one attempt.
func (r *Reader) snapshot(ctx context.Context, tables []Table, tenant string, memory *query.Share, rows Prover,
	last bool) (*Snapshot, error) {
	state, err := r.pin(ctx, &query.Query{})
	if err != nil {
		return nil, err
	}
	s := &Snapshot{State: state}
	whole := &query.LivePart{Through: slices.Clone(state.H)}
	hasLive := slices.ContainsFunc(tables, func(t Table) bool { return t.Live })
	var known []uint64
	if hasLive {
		known = r.known(ctx, &query.Query{})
	}
	lives := 0
	for _, t := range tables {
		out, live, err := r.snapshotTable(ctx, t, state, tenant, memory, rows, last)
		if err != nil {
			return nil, err
		}
		s.Tables = append(s.Tables, *out)
		if live != nil {
			cover(whole, live, lives == 0)
			lives++
		}
	}
	slices.Sort(whole.Stale)
	whole.Stale = slices.Compact(whole.Stale)
	slices.Sort(whole.Lagging)
	whole.Lagging = slices.Compact(whole.Lagging)
	s.Accuracy = r.accuracy(state, whole, known)
	s.Accuracy.Exact = s.Accuracy.Complete && whole.Pending == 0
	r.addBatchAccuracy(s, tables, tenant)
	return s, nil
}

// cover makes whole the accuracy of its parts together.
func cover(whole, part *query.LivePart, first bool) {
	for p := range whole.Through {
		if first || part.Through[p].Seq < whole.Through[p].Seq {
			whole.Through[p] = part.Through[p]
		}
	}
	whole.Stale = append(whole.Stale, part.Stale...)
	whole.Lagging = append(whole.Lagging, part.Lagging...)
	whole.Pending = max(whole.Pending, part.Pending)
	whole.Appended = max(whole.Appended, part.Appended)
}

// addBatchAccuracy adds what the publication states about its rows (Q4).
func (r *Reader) addBatchAccuracy(s *Snapshot, tables []Table, tenant string) {
	a := &s.Accuracy
	for i, t := range tables {
		if !t.Batch || s.State.Publication == nil {
			continue
		}
		view := s.State.Views[s.Tables[i].View.Name]
		sum := func(list []record.BucketEvents) uint64 {
			return uint64(record.SumEvents(list, tenant, window.MinTime, window.MaxTime+1,
				r.Catalog.Catalog().Bucket.Microseconds()))
		}
		a.Unconverted += sum(view.Unconverted)
		a.Retired += sum(view.Retired)
		if n := sum(view.Overflowed); n > 0 {
			if a.Overflow == nil {
				a.Overflow = &query.Overflow{}
			}
			a.Overflow.Events += n
		}
		a.Holes = s.State.Publication.Holes
		if view.Fill != nil {
			from := time.UnixMicro(view.Fill.From).UTC()
			if a.FilledFrom == nil || a.FilledFrom.Before(from) {
				a.FilledFrom = &from
			}
			a.Complete = false
		}
	}
	a.Exact = a.Exact && a.Complete && a.Overflow == nil && a.Unconverted == 0 && a.Retired == 0
}

// snapshotTable reads what a statement needs of one view.
func (r *Reader) snapshotTable(ctx context.Context, t Table, state *record.State, tenant string, memory *query.Share,
	rows Prover, last bool) (*SnapshotTable, *query.LivePart, error) {
	q := &query.Query{View: t.View, Limit: query.MaxLimit}
	if !t.Batch {
		q.Mode = query.Live
	}
	c, err := r.definition(ctx, q, state)
	if err != nil {
		return nil, nil, err
	}
	if v := c.Views[t.View]; v != nil {
		q.GroupBy = slices.Clone(v.Dimensions)
	}
	scan, err := q.Resolve(c, tenant)
	if err != nil {
		return nil, nil, err
	}
	scan.Memory = memory
	out := &SnapshotTable{Catalog: c, View: scan.View, Scan: scan}
	if t.Batch {
		if state.N > 0 && !scan.Reads(state.Views[t.View].Digest) {
			return nil, nil, fmt.Errorf("view %s, publication %d: %w", t.View, state.N, ErrNotPublished)
		}
		if out.Rows, err = rows.Rows(ctx, state, scan.View); err != nil {
			return nil, nil, batchError(state, err)
		}
	}
	if !t.Live {
		return out, nil, nil
	}
	live, err := r.liveCells(ctx, q, scan, state, last)
	if err != nil {
		return nil, nil, err
	}
	out.Live = live.Part
	return out, live, nil
}

// liveCells returns the live part by cell. The range of its cells is not known before, so it first asks for the events
// in a few hundred windows over all time, then for those in windows that have some, and so on, as ends does. The
// windows of every scan cover all time: those where there were events, and one window for each gap between them. So an
// event that came meanwhile is in some row. If that is a gap, which has no cell to name, the search begins again.
func (r *Reader) liveCells(ctx context.Context, q *query.Query, scan *query.Scan, state *record.State,
	last bool) (*query.LivePart, error) {
	factor, first := firstWidth(scan.View.Cell)
	for range maxSearches {
		spans := [][2]int64{{window.MinTime, window.MaxTime + 1}}
		for width := first; ; width /= factor {
			probe := scan
			if width > scan.View.Cell {
				probe = &query.Scan{View: scan.View, Digest: scan.Digest, Tenant: scan.Tenant, Memory: scan.Memory}
			}
			var err error
			if probe.Windows, err = sparse(spans, width); err != nil {
				return nil, err
			}
			live, err := r.live(ctx, q, probe, state, nil, last)
			if err != nil {
				return nil, err
			}
			var gap bool
			if spans, gap = filledSpans(live.Part, probe.Windows, width); gap {
				break
			}
			if probe == scan {
				return live, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: events come at ever other times; try again", ErrLive)
}

// maxSearches is how often the search for the cells with events begins.
const maxSearches = 4

// firstWidth returns the width of the first windows of a search, and by which factor they get narrower.
func firstWidth(cell time.Duration) (factor, width time.Duration) {
	cells := float64(window.MaxTime+1-window.MinTime) / float64(cell.Microseconds())
	factor = time.Duration(math.Ceil(math.Pow(cells, 1.0/levels)))
	width = cell
	for range levels - 1 {
		width *= factor
	}
	return factor, width
}

// sparse returns windows of a width in the spans, and one for each gap.
func sparse(spans [][2]int64, width time.Duration) (window.Windows, error) {
	var windows int64
	for _, s := range spans {
		windows += 1 + (s[1]-s[0])/width.Microseconds()
	}
	if windows > window.MaxWindows {
		return window.Windows{}, &batchview.LimitError{Reason: fmt.Sprintf("the real-time rows are in more than %d "+
			"cells, because events of a long range are not published yet; read the table of the publication, or wait "+
			"for the next one", window.MaxWindows)}
	}
	return window.Sparse(window.MinTime, window.MaxTime+1, spans, width), nil
}

// filledSpans returns the windows with events, joined where they touch, and whether one of them is a gap and not of the
// width.
func filledSpans(part *query.Part, w window.Windows, width time.Duration) (spans [][2]int64, gap bool) {
	if part == nil {
		return nil, false
	}
	indexes := slices.Clone(part.Windows)
	slices.Sort(indexes)
	for _, i := range slices.Compact(indexes) {
		from, to := w.Span(int(i))
		gap = gap || to-from > width.Microseconds()
		if n := len(spans); n > 0 && spans[n-1][1] == from {
			spans[n-1][1] = to
			continue
		}
		spans = append(spans, [2]int64{from, to})
	}
	return spans, gap
}

// batchError classifies an error of the batch layer.
func batchError(state *record.State, err error) error {
	var limit *batchview.LimitError
	switch {
	case errors.Is(err, query.ErrCollected):
		return &goneError{state.N, err}
	case errors.As(err, &limit) || errors.Is(err, context.DeadlineExceeded) || isMemory(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrBatch, err)
}
