package exact

import (
	"context"

	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
)

// Rows are neighbouring rows of one object. They are valid until Input.OnRows returns.
type Rows struct {
	// Columns has every declared field as the views would read it. A field that no row has is absent.
	eventbatch.Columns
	// Copies says which rows are duplicates, by row.
	Copies []bool
	// Lost has the rows whose values are null because they could not be converted.
	Lost conversion.Lost
}

// sendRows reads the wanted columns of the span's buckets.
func (r *run) sendRows(ctx context.Context, s *span) error {
	return r.eachChunk(ctx, s, 0, func(c eventbatch.Columns, lost conversion.Lost, drop []bool) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.in.OnRows(Rows{c, drop, lost})
	})
}
