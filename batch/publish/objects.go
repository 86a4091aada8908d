package publish

import (
	"context"

	"recount/schemas/record"
)

// Objects returns the objects of an event type that count in a publication: its manifest (record.CommittedObjects). It
// checks the chains as a recompute does, because a chain that lacks a record would give a shorter list.
func (p *Publisher) Objects(ctx context.Context, s *record.State, eventType string) ([]*record.Object, error) {
	chains, err := p.checkedChains(ctx, s)
	if err != nil {
		return nil, err
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return nil, err
	}
	var objects []*record.Object
	for _, o := range record.CommittedObjects(chains, s.H, horizons, eventType) {
		objects = append(objects, o)
	}
	return objects, nil
}
