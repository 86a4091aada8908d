package server

import (
	"context"
	"slices"
	"time"

	"recount/deploy/server/janitor"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/speed/realtime"
)

func (s *Server) openSpeed(ctx context.Context) error {
	if !s.roles.Has(Speed) {
		return nil
	}
	rc := s.cfg.realtime()
	rc.Installation = s.installation.ID
	rc.Logger = s.logger
	rc.Registerer = s.registry
	oldest := s.publisher.OldestKept()
	starts := make([]realtime.PartitionStart, len(s.chains))
	for p, chain := range s.chains {
		var err error
		if starts[p], err = janitor.Start(ctx, s.engines.log, chain, oldest.H[p]); err != nil {
			return err
		}
	}
	c, before, err := s.liveDefinitions(ctx)
	if err != nil {
		return err
	}
	s.views, err = realtime.Open(rc, c, starts, s.roleSource(), before...)
	return err
}

// liveDefinitions returns what the real-time views count: the newest catalog, and definitions that its views have in
// the newest and in the oldest kept publication (S7).
func (s *Server) liveDefinitions(ctx context.Context) (c *catalog.Catalog, before []*catalog.Catalog, err error) {
	c = s.generations.Catalog()
	before, err = janitor.DefinitionsBefore(ctx, c, s.publisher.Definition, s.publisher.OldestKept(),
		s.publisher.State())
	return c, before, err
}

// declareViews makes the real-time views those of liveDefinitions, and returns these. It does nothing if they are those
// of the last call.
func (s *Server) declareViews(ctx context.Context, last []*catalog.Catalog) []*catalog.Catalog {
	c, before, err := s.liveDefinitions(ctx)
	if err != nil {
		s.logger.Warn("the real-time views cannot follow the catalog yet", "error", err)
		return last
	}
	declared := append([]*catalog.Catalog{c}, before...)
	if !slices.Equal(declared, last) { // The same definition is the same catalog in memory.
		s.views.Declare(c, before...)
	}
	return declared
}

// retainEvery is how soon after a publication the speed layer drops the events below H of the
// oldest kept publication.
const retainEvery = 500 * time.Millisecond

// retain tells the speed layer which publication is the oldest kept (S3), and which epochs other
// owners have begun.
func (s *Server) retain(ctx context.Context) error {
	renewal := janitor.Renewal{Log: s.engines.log, Marks: s.marks, Views: s.views, Chains: s.currentChains}
	var declared []*catalog.Catalog
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		changed := s.generations.Changed()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			declared = s.declareViews(ctx, declared)
		case <-tick.C:
			if err := s.views.Retain(s.publisher.OldestKept().H); err != nil {
				s.logger.Error("the speed layer and the publications disagree about a cut", "error", err)
			}
			seen := [][]position.Offset{s.publisher.State().H}
			if s.lander != nil {
				seen = append(seen, s.lander.Heads())
			}
			declared = s.declareViews(ctx, declared)
			if _, err := renewal.Renew(ctx, s.publisher.OldestKept().H, seen...); err != nil && ctx.Err() == nil {
				s.logger.Error("the speed layer cannot follow a new epoch", "error", err)
			}
		}
	}
}

// logEndEvery is how often the real-time views hear where the log ends.
const logEndEvery = time.Second

// followLog tells the real-time views where the log ends, because other processes append to it too. A
// log that does not answer is reported by checkLog.
func (s *Server) followLog(ctx context.Context) error {
	tick := time.NewTicker(logEndEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for p := range s.chains {
				if _, next, err := s.engines.log.Bounds(ctx, p); err == nil {
					s.views.Observe(p, next)
				}
			}
		}
	}
}
