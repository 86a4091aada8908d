package reader

import (
	"context"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
)

// fold puts groups of the parts of a range together, for a scan without dimensions.
type fold func(l *rangeParts, of *query.Scan) (*rangeParts, error)

// addTotals adds the measures of all groups together to an answer. They are those of the parts that the answer was
// merged from, except that exact distinct counts of groups cannot be united: the batch layer is asked for them again.
func (r *Reader) addTotals(ctx context.Context, a *merge.Answer, q *query.Query, scan *query.Scan, state *record.State,
	read *ranges) error {
	all, totals, err := q.AllGroups(scan)
	if err != nil {
		return err
	}
	total := func(l *rangeParts, of *query.Scan) (*rangeParts, error) {
		live := merge.Total(of, l.live)
		if !of.HasDistinct() {
			return &rangeParts{of, merge.Total(of, l.batch), live}, nil
		}
		batch, err := r.batch(ctx, all, of, state, live, nil)
		return &rangeParts{of, batch, live}, err
	}
	answer, err := mergeFolded(all, totals, read.later, read.earlier, total)
	if err == nil {
		a.SetTotals(answer)
	}
	return err
}

// addOthers adds what is in no row to an answer, as addTotals adds what is in all groups. The batch layer is asked for
// distinct counts without the groups that are shown, if it has others.
func (r *Reader) addOthers(ctx context.Context, a *merge.Answer, q *query.Query, scan *query.Scan, state *record.State,
	read *ranges) error {
	asked, others := q.OtherGroups(scan)
	shown := a.Groups(scan)
	rest := func(l *rangeParts, of *query.Scan) (*rangeParts, error) {
		groups := shown
		if l == read.earlierUnited {
			groups = shown.Earlier(scan.Comparison)
		}
		bytes := merge.RestBytes(of, l.live, groups) + merge.RestBytes(of, l.batch, groups)
		if err := scan.Memory.Grow(ctx, bytes); err != nil {
			return nil, err
		}
		out := &rangeParts{of, merge.Rest(of, l.batch, groups), merge.Rest(of, l.live, groups)}
		var err error
		// If all groups of the batch layer are shown, there is nothing to ask it for, however many they are.
		if of.HasDistinct() && (out.batch == nil || out.batch.Rows() > 0) {
			out.batch, err = r.batchWithout(ctx, asked, of, state, out.live, &batchview.Except{By: scan.GroupBy,
				Groups: groups})
		}
		if err != nil {
			return nil, err
		}
		return out, scan.Memory.Grow(ctx, merge.Bytes(of, asked, out.batch, out.live))
	}
	answer, err := mergeFolded(asked, others, read.laterUnited, read.earlierUnited, rest)
	if err == nil {
		a.SetOthers(answer)
	}
	return err
}

// batchWithout asks the batch layer for the pinned rows that are in none of the groups. What it answers is not kept:
// the groups follow from all of a query, so few ask for the same.
func (r *Reader) batchWithout(ctx context.Context, q *query.Query, scan *query.Scan, state *record.State,
	live *query.Part, except *batchview.Except) (*query.Part, error) {
	if q.Mode == query.Live || state.N == 0 {
		return nil, nil
	}
	defer r.time("batch", nil)()
	part, err := r.Batch.Scan(ctx, state, scan,
		batchview.Options{Sketches: SketchWindows(scan, live), Except: except})
	if err != nil {
		return nil, batchError(state, err)
	}
	return part, nil
}

// mergeFolded makes an answer of two ranges, of which there may be no earlier one.
func mergeFolded(q *query.Query, of *query.Scan, later, earlier *rangeParts, fold fold) (*merge.Answer, error) {
	foldedLater, err := fold(later, of)
	if err != nil {
		return nil, err
	}
	var foldedEarlier *rangeParts
	if earlier != nil {
		if foldedEarlier, err = fold(earlier, of.Earlier()); err != nil {
			return nil, err
		}
	}
	return mergeRanges(q, foldedLater, foldedEarlier, query.Accuracy{})
}
