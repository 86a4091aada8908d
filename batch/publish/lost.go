package publish

import (
	"context"
	"maps"
	"slices"
)

// Suspect makes the next Recompute check the rows of the newest publication, by number and checksum, and write the
// buckets again whose rows ClickHouse has lost or changed. Readers refuse such buckets (Q3). Without this they
// would refuse them for ever, because nothing lands in an old bucket that would make it dirty.
func (p *Publisher) Suspect() { p.suspect.Store(true) }

// checkShare is how much of its time a publisher may spend on checking rows without a suspicion: one part of so many.
const checkShare = 20

// checkRows looks for damaged rows if there is a suspicion, and otherwise every Config.CheckEvery. A reader reports
// only to the publisher of its own process. Where the roles are in several processes, the one that recomputes hears
// nothing, so it has to look by itself (J1).
func (p *Publisher) checkRows(ctx context.Context, plan *plan, types map[string]*landed) error {
	began := p.cfg.Now()
	if !p.suspect.Swap(false) && began.Before(p.nextCheck) {
		return nil
	}
	err := p.findLost(ctx, plan, types)
	if err != nil || len(plan.lost) > 0 {
		p.suspect.Store(true) // The suspicion ends when a check finds every row.
	}
	ended := p.cfg.Now()
	p.nextCheck = ended.Add(max(p.cfg.CheckEvery, checkShare*ended.Sub(began)))
	return err
}

// findLost adds to plan.lost the buckets of the newest publication that do not have the rows it
// names. It leaves out a bucket with retired rows, which cannot be computed again. Readers are
// right to refuse that bucket (Q3), because any answer would be a wrong number (Q5).
func (p *Publisher) findLost(ctx context.Context, plan *plan, types map[string]*landed) error {
	if err := p.views.CreateTables(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(plan.digests)) {
		published := plan.previous.Views[name].Buckets
		if plan.full[name] || len(published) == 0 {
			continue // Every bucket is written anyway, or there is none.
		}
		view := p.cfg.Catalog.Views[name]
		there, err := p.views.ReadVersions(ctx, view, published)
		if err != nil {
			return err
		}
		events := types[view.Event]
		for _, b := range published {
			if b.Rows > 0 && there[b.Bucket] != b && events != nil && !events.retired[b.Bucket] {
				plan.lost[name] = append(plan.lost[name], b.Bucket)
			}
		}
		if n := len(plan.lost[name]); n > 0 {
			p.metrics.lost.Add(float64(n))
			p.cfg.Logger.Error("rows of the newest publication are missing or changed in ClickHouse; they are "+
				"computed again", "view", name, "publication", plan.previous.N, "buckets", n)
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
