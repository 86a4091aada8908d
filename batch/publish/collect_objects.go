package publish

import (
	"context"
	"fmt"
	"slices"

	"recount/schemas/failpoint"
)

// collectObjects deletes objects older than G that no commit record names (C8). It reads the chains
// again after the listing, because a record may have been created meanwhile.
func (p *Publisher) collectObjects(ctx context.Context, r *CollectResult) error {
	named, err := p.namedObjects(ctx)
	if err != nil {
		return err
	}
	limit := p.cfg.Now().Add(-p.cfg.CollectAfter)
	if failpoint.Off(failpoint.C8) {
		limit = p.cfg.Now()
	}
	var orphans []string
	for info, err := range p.objects.List(ctx, "data/", "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		if info.Modified.Before(limit) && !named[info.Key] {
			orphans = append(orphans, info.Key)
		}
		if len(orphans) == collectObjects {
			break
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	if named, err = p.namedObjects(ctx); err != nil {
		return err
	}
	orphans = slices.DeleteFunc(orphans, func(k string) bool { return named[k] })
	if err := p.objects.Delete(ctx, orphans...); err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	r.Objects += int64(len(orphans))
	return nil
}

// namedObjects returns the objects that commit records name and that are not retired. It checks the
// chains, because an object looks unnamed when the record that names it is missing.
func (p *Publisher) namedObjects(ctx context.Context) (map[string]bool, error) {
	chains, err := p.checkedChains(ctx, p.State())
	if err != nil {
		return nil, err
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, c := range chains {
		for _, s := range c.Segments {
			for _, o := range s.Objects {
				if !horizons.Retired(s, &o) {
					named[o.Key] = true
				}
			}
		}
	}
	return named, nil
}
