package publish

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

const headRequests = 16 // at once

// Secure looks for the objects of the segments that the log still has, and has below the
// bounds: once their messages are trimmed nothing can put a lost object back (C8). So each
// object is looked for twice, before it counts for the first time and here. After an error
// the log must keep what it has, which may be the only copy.
func (p *Publisher) Secure(ctx context.Context, first, bounds []uint64) error {
	chains, err := p.chains(ctx)
	if err != nil {
		return fmt.Errorf("read commit chains: %w", err)
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

// checkPresent looks for objects and puts back what is missing (C8).
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
			case errors.Is(err, lake.ErrNotFound):
				return p.rebuild(ctx, o)
			case err != nil:
				return fmt.Errorf("look for object %s: %w", o.Key, err)
			case info.Size != o.Size:
				return fmt.Errorf("object %s has %d bytes and its commit record says %d; restore it", o.Key, info.Size,
					o.Size)
			}
			return nil
		})
	}
	return g.Wait()
}

// openObject opens an object for the batch engine. One that the store has lost since it was
// published is put back while the log has its events.
func (p *Publisher) openObject(ctx context.Context, o record.Object) (exact.File, error) {
	f, err := p.open(ctx, o)
	if !errors.Is(err, lake.ErrNotFound) {
		return f, err
	}
	if err := p.rebuild(ctx, o); err != nil {
		return nil, err
	}
	return p.open(ctx, o)
}

// rebuild puts an object back that a commit record names and the store has lost.
func (p *Publisher) rebuild(ctx context.Context, o record.Object) error {
	const remedy = "restore it from a copy of the bucket under the same key"
	if p.cfg.Rebuild == nil {
		return fmt.Errorf("object %s is missing though a commit record names it; %s: %w", o.Key, remedy,
			lake.ErrNotFound)
	}
	p.cfg.Logger.Error("an object of the lake is missing; rebuilding it from the log", "object", o.Key)
	if err := p.cfg.Rebuild(ctx, o); err != nil {
		return fmt.Errorf("object %s is missing and the log does not give it back; %s: %w", o.Key, remedy, err)
	}
	p.metrics.rebuilt.Inc()
	return nil
}
