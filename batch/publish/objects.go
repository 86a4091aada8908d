package publish

import (
	"context"
	"iter"

	"recount/schemas/record"
)

// CommittedIn returns the objects of an event type that count in a publication (record.CommittedObjects). It checks the
// chains as a recompute does, because a chain that lacks a record would give a shorter list.
func (p *Publisher) CommittedIn(ctx context.Context, s *record.State,
	eventType string) (iter.Seq2[*record.Commit, *record.Object], error) {
	chains, err := p.checkedChains(ctx, s)
	if err != nil {
		return nil, err
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return nil, err
	}
	return record.CommittedObjects(chains, s.H, horizons, eventType), nil
}

// Objects returns the objects of an event type that count in a publication: its manifest.
func (p *Publisher) Objects(ctx context.Context, s *record.State, eventType string) ([]*record.Object, error) {
	committed, err := p.CommittedIn(ctx, s, eventType)
	if err != nil {
		return nil, err
	}
	var objects []*record.Object
	for _, o := range committed {
		objects = append(objects, o)
	}
	return objects, nil
}

// Committed returns the kept publications, ascending, with commit chains that reach the H of each, and the horizons:
// all that record.CommittedObjects needs for any publication that may be read.
func (p *Publisher) Committed(ctx context.Context) (kept []*record.State, chains []*record.Chain,
	horizons record.Horizons, err error) {
	if kept, err = p.keptStates(ctx); err != nil {
		return nil, nil, nil, err
	}
	if chains, err = p.checkedChains(ctx, kept...); err != nil {
		return nil, nil, nil, err
	}
	horizons, err = p.horizons(ctx)
	return kept, chains, horizons, err
}
