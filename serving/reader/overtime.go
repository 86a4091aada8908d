package reader

import (
	"context"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/merge"
)

// withEarlier adds the inquiries about the ranges that others compare with. Both have a live part of one moment.
func withEarlier(inquiries []*inquiry) []*inquiry {
	out := inquiries
	for _, i := range inquiries {
		if i.earlier != nil {
			out = append(out, i.earlier)
		}
	}
	return out
}

// first returns the inquiry about the first range that the answer has.
func (i *inquiry) first() *inquiry {
	if i.earlier != nil {
		return i.earlier
	}
	return i
}

// rangeParts are the parts of both layers for a scan. Either may be nil.
type rangeParts struct {
	scan        *query.Scan
	batch, live *query.Part
}

// ranges are what the layers know of the range of a query, and of the earlier one that it is compared with, if any.
// The united parts are by the windows of the answer. If these overlap, the others are by windows that do not.
type ranges struct {
	later, laterUnited     *rangeParts
	earlier, earlierUnited *rangeParts
}

// readRanges asks the batch layer for the ranges of a query, both from one publication.
func (r *Reader) readRanges(ctx context.Context, i *inquiry, state *record.State) (*ranges, error) {
	out := &ranges{}
	var err error
	if i.earlier != nil {
		if out.earlier, out.earlierUnited, err = r.readRange(ctx, i.earlier, state); err != nil {
			return nil, err
		}
	}
	out.later, out.laterUnited, err = r.readRange(ctx, i, state)
	return out, err
}

// readRange asks the batch layer for one range.
func (r *Reader) readRange(ctx context.Context, i *inquiry, state *record.State) (apart, united *rangeParts,
	err error) {
	scan := i.scan
	batch, err := r.batch(ctx, i.query, scan.Apart(), state, i.live.Part, i.explanation)
	if err != nil {
		return nil, nil, err
	}
	if batch != nil {
		sum := func(list []record.BucketEvents) uint64 {
			return uint64(record.SumEvents(list, scan.Tenant, scan.Windows.From, scan.Windows.To,
				r.Catalog.Catalog().Bucket.Microseconds()))
		}
		batch.Unconverted = sum(state.Views[scan.View.Name].Unconverted)
		batch.Retired = sum(state.Views[scan.View.Name].Retired)
	}
	apart = &rangeParts{scan, batch, i.live.Part}
	united = apart
	if scan.Overlap.Width > 0 {
		if united, err = r.unite(ctx, i.query, apart, state); err != nil {
			return nil, nil, err
		}
	}
	return apart, united, scan.Memory.Grow(ctx, merge.Bytes(scan, i.query, united.batch, united.live))
}

// unite makes parts by windows that overlap.
func (r *Reader) unite(ctx context.Context, q *query.Query, apart *rangeParts, state *record.State) (*rangeParts,
	error) {
	scan := apart.scan
	grow := func(bytes int64) error { return scan.Memory.Grow(ctx, bytes) }
	live, err := merge.Overlap(scan, apart.live, grow)
	if err != nil {
		return nil, err
	}
	ofBatch := scan.Apart()
	ofBatch.Overlap = scan.Overlap
	batch, err := merge.Overlap(ofBatch, apart.batch, grow)
	if err != nil || batch == nil || !scan.HasDistinct() {
		return &rangeParts{scan, batch, live}, err
	}
	sets, err := r.batch(ctx, q, scan.Sets(), state, onlySets(scan, live), nil)
	if err != nil {
		return nil, err
	}
	batch, err = merge.WithSets(scan, batch, sets)
	return &rangeParts{scan, batch, live}, err
}

// onlySets returns the distinct measures of a part.
func onlySets(scan *query.Scan, p *query.Part) *query.Part {
	if p == nil {
		return nil
	}
	out := *p
	out.Measures = nil
	for j := range scan.Measures {
		if scan.Measures[j].Kind == catalog.Distinct {
			out.Measures = append(out.Measures, p.Measures[j])
		}
	}
	return &out
}

// mergeRanges makes the answer. There may be no earlier range.
func mergeRanges(q *query.Query, later, earlier *rangeParts, accuracy query.Accuracy) (*merge.Answer, error) {
	if earlier == nil {
		return merge.Merge(later.scan, q, later.batch, later.live, accuracy)
	}
	before := &merge.Earlier{Scan: earlier.scan, Batch: earlier.batch, Live: earlier.live}
	batch, live, err := before.WithGroups(later.scan, later.batch, later.live)
	if err != nil {
		return nil, err
	}
	a, err := merge.Merge(later.scan, q, batch, live, accuracy)
	if err == nil {
		a.SetPrevious(later.scan, q, before)
	}
	return a, err
}
