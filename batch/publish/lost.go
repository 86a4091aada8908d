package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// Suspect makes the next Recompute count the rows of the newest publication and write the buckets
// again whose rows ClickHouse has lost. Readers refuse such buckets (Q3). Without this they would
// refuse them for ever, because nothing lands in an old bucket that would make it dirty.
func (p *Publisher) Suspect() { p.suspect.Store(true) }

// findLost adds to plan.lost the buckets of the newest publication that do not have the rows it
// names. It leaves out a bucket with retired rows, which cannot be computed again. Readers are
// right to refuse that bucket (Q3), because any answer would be too small a number (Q5).
func (p *Publisher) findLost(ctx context.Context, plan *plan, types map[string]*landed) error {
	if err := p.views.CreateTables(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(plan.digests)) {
		published := plan.previous.Views[name]
		if plan.full[name] || len(published.Buckets) == 0 {
			continue // Every bucket is written anyway, or there is none.
		}
		there := map[record.BucketVersion]bool{}
		view := p.cfg.Catalog.Views[name]
		table := sqlschema.Table(view, published.Digest)
		events := types[view.Event]
		for b, err := range p.views.Versions(ctx, table, plan.n<<32) {
			if err != nil {
				return fmt.Errorf("count the rows of view %s: %w", name, err)
			}
			there[b] = true
		}
		for _, b := range published.Buckets {
			b.Checksum = 0 // Versions does not return it.
			if b.Rows > 0 && !there[b] && events != nil && !events.retired[b.Bucket] {
				plan.lost[name] = append(plan.lost[name], b.Bucket)
			}
		}
		if n := len(plan.lost[name]); n > 0 {
			p.metrics.lost.Add(float64(n))
			p.cfg.Logger.Error("rows of the newest publication are missing in ClickHouse; they are computed again",
				"view", name, "publication", plan.previous.N, "buckets", n)
		}
	}
	return nil
}

// union returns the values of two lists, ascending and unique.
func union(a, b []int64) []int64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
