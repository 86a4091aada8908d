package oracle

import (
	"context"

	"recount/schemas/position"
	"recount/schemas/query"
)

// OneByOne is a speed layer that answers several scans one after the other. Its moments differ if the layer changes in
// between.
type OneByOne func(ctx context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error)

// ScanAll implements reader.RealtimeViews.
func (f OneByOne) ScanAll(ctx context.Context, scans []*query.Scan, cut []position.Offset) []query.LiveResult {
	var out []query.LiveResult
	for _, s := range scans {
		live, err := f(ctx, s, cut)
		out = append(out, query.LiveResult{Live: live, Err: err})
	}
	return out
}
