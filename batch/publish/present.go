package publish

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

const headRequests = 16 // at once

// EnsureObjects checks that the store has the objects of the segments from first up to bounds, and rebuilds
// those that are lost (C8). first and bounds are sequences by partition: what the log still has and
// is about to trim. Once it is trimmed, a lost object cannot be rebuilt. So each object is looked
// for twice: before it counts for the first time, and here. After an error the log must not be
// trimmed, because it may hold the only copy. An error about missing records means the same.
func (p *Publisher) EnsureObjects(ctx context.Context, first, bounds []uint64) error {
	chains, err := p.checkedChains(ctx, p.State())
	if err != nil {
		return err
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return err
	}
	var objects []record.Object
	for i, c := range chains {
		for _, s := range c.Segments {
			if s.Start < first[i] || s.Start >= bounds[i] {
				continue
			}
			for _, o := range s.Objects {
				if !horizons.Retired(s, &o) {
					objects = append(objects, o)
				}
			}
		}
	}
	return p.checkPresent(ctx, objects)
}

// checkPresent looks for objects in the store and rebuilds those that are missing (C8).
func (p *Publisher) checkPresent(ctx context.Context, objects []record.Object) error {
	if failpoint.Off(failpoint.C8) {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headRequests)
	for _, o := range objects {
		g.Go(func() error {
			info, err := p.objects.Head(ctx, o.Key)
			switch {
			case errors.Is(err, record.ErrNotFound):
				return p.rebuild(ctx, o)
			case err != nil:
				return fmt.Errorf("look for object %s: %w", o.Key, err)
			case info.Size != o.Size:
				return fmt.Errorf("%w: %s has %d bytes, but its commit record says %d; restore it from a copy of the "+
					"bucket", record.ErrObjectLost, o.Key, info.Size, o.Size)
			}
			return nil
		})
	}
	return g.Wait()
}

// openObject opens an object for the batch engine. If the store has lost the object, openObject
// rebuilds it, which works as long as the log has its events.
func (p *Publisher) openObject(ctx context.Context, o record.Object) (exact.File, error) {
	f, err := p.open(ctx, o)
	if !errors.Is(err, record.ErrNotFound) {
		return f, err
	}
	if err := p.rebuild(ctx, o); err != nil {
		return nil, err
	}
	return p.open(ctx, o)
}

// rebuild writes an object again that a commit record names and the store has lost.
func (p *Publisher) rebuild(ctx context.Context, o record.Object) error {
	const remedy = "restore it from a copy of the bucket under the same key"
	if p.cfg.Rebuild == nil {
		return fmt.Errorf("%w: %s is missing, but a commit record names it; %s: %w", record.ErrObjectLost, o.Key,
			remedy, record.ErrNotFound)
	}
	p.cfg.Logger.Error("an object of the lake is missing; it is being rebuilt from the log", "object", o.Key)
	err := p.cfg.Rebuild(ctx, o)
	if errors.Is(err, record.ErrObjectLost) {
		return fmt.Errorf("object %s is missing and could not be rebuilt from the log; %s: %w", o.Key, remedy, err)
	}
	if err != nil {
		return fmt.Errorf("object %s is missing and was not rebuilt from the log; the next run tries again: %w", o.Key,
			err)
	}
	p.metrics.rebuilt.Inc()
	return nil
}
