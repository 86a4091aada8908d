package explain

import (
	"context"
	"errors"
	"slices"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
)

// maxOverflowRows bounds the rows of the buckets that one search computes again to say which values overflowed.
const maxOverflowRows = 500_000

// explainOverflow says which dimensions of the view count the event under the overflow value in the publication. A
// value was admitted exactly if the bucket has a row with it (B7). Most buckets have no event that overflowed, and need
// no look.
func (j *judgement) explainOverflow(ctx context.Context, out *openapi.ExplainedView, v *catalog.View, bucket int64,
	cell *countedCell) error {
	width := j.width.Microseconds()
	if record.SumEvents(j.state.Views[v.Name].Overflowed, j.Tenant, bucket, bucket+width, width) == 0 {
		return nil
	}
	in := exact.Input{Catalog: j.declared, Type: j.eventType, Buckets: []int64{bucket}, Limit: j.state.Limit(),
		Targets: []exact.Target{{View: v, Buckets: []int64{bucket}}}}
	rows := int64(0)
	for p, c := range j.chains {
		for _, segment := range c.Segments {
			for _, o := range segment.Objects {
				if segment.Start >= j.state.H[p].Seq || o.Type != j.eventType {
					continue
				}
				if n := rowsNear(&o, bucket, width); n > 0 {
					rows += n
					in.Objects = append(in.Objects, exact.Object{Object: o, Partition: p, Start: segment.Start})
				}
			}
		}
	}
	if j.recomputed+rows > maxOverflowRows {
		out.OverflowUnknown = true
		return nil
	}
	j.recomputed += rows
	admitted := make([]bool, len(v.Dimensions))
	emit := func(b *exact.Block) error {
		for r := range b.Rows() {
			for d := range v.Dimensions {
				admitted[d] = admitted[d] || b.Tenants.Value(r) == j.Tenant &&
					sameValue(columnOf(&b.Dims[d], r), cell.dimensions[d])
			}
		}
		return nil
	}
	_, err := exact.Run(ctx, exact.Config{Workers: 1, Memory: 4 * exact.LeastMemory}, j.cfg.Open, in, emit)
	if errors.Is(err, record.ErrNotFound) {
		out.OverflowUnknown = true // Retired dead letters.
		return nil
	}
	if err != nil {
		return err
	}
	for d, name := range v.Dimensions {
		if !admitted[d] {
			out.Overflowed = append(out.Overflowed, name)
		}
	}
	slices.Sort(out.Overflowed)
	return nil
}

// rowsNear returns how many rows the object has in the bucket and in those beside it (I3).
func rowsNear(o *record.Object, bucket, width int64) (n int64) {
	for _, b := range o.Buckets {
		if b.Bucket >= bucket-width && b.Bucket <= bucket+width {
			n += b.Rows
		}
	}
	return n
}

func sameValue(a, b query.Column) bool { return valueOf(a) == valueOf(b) }
