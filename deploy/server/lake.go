package server

import (
	"context"
	"fmt"

	"recount/batch/exact"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/schemas/record"
)

// currentChains returns the commit chains as they are stored now. Those that the lander or the start
// has read are extended first, because another owner may have landed more. An object whose record
// was not read would look like an object that no record names (C8).
func (s *Server) currentChains(ctx context.Context) ([]*record.Chain, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	chains := s.chains
	if s.lander != nil {
		chains = s.lander.Chains()
	}
	out := make([]*record.Chain, len(chains))
	for i, c := range chains {
		if err := landing.Extend(ctx, s.engines.records, c); err != nil {
			return nil, fmt.Errorf("partition %d: %w", c.Partition, err)
		}
		extended := *c
		out[i] = &extended
	}
	return out, nil
}

// openObject opens a committed object for the batch engine. Its digest is compared with the record's
// the first time in this process. Objects are immutable, and to hash each one at every run would
// double the work.
func (s *Server) openObject(ctx context.Context, o record.Object) (exact.File, error) {
	r, err := s.engines.lake.Open(ctx, o.Key)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	if _, seen := s.verified.Load(o.Key); !seen {
		if err := object.Verify(ctx, o, r); err != nil {
			return nil, fmt.Errorf("object %s: %w", o.Key, err)
		}
		s.verified.Store(o.Key, struct{}{})
	}
	f, err := object.Open(ctx, o, r)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	return f, nil
}
