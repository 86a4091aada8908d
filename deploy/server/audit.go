package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/batch/cells"
	"recount/batch/landing"
	"recount/batch/recheck"
	"recount/jobs/conservation"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
)

// openTally counts the events that landed or are in the log. Ingest adds to this count what it
// acknowledges. A process without ingest acknowledges nothing and has no tally.
func (s *Server) openTally(ctx context.Context) error {
	if !s.roles.Has(Ingest) {
		return nil
	}
	s.tally = &tally{partitions: make([]promises, len(s.chains))}
	for p, c := range s.chains {
		t := &s.tally.partitions[p]
		var err error
		t.tenants, err = s.logged(ctx, c)
		switch {
		case errors.As(err, &t.unreadable):
			s.logger.Error("the events of a partition cannot be counted, because messages of its log cannot be read. "+
				"Other partitions continue (C7)", "partition", p, "error", err, "do", remedy(p, t.unreadable))
			t.total = s.marks.Remembered(p)
		case err == nil && s.lacksRecords(ctx, c):
			t.uncounted = true
			t.total = s.marks.Remembered(p)
		case err != nil:
			return fmt.Errorf("count the events of partition %d: %w", p, err)
		default:
			if t.total, err = s.marks.Settle(p, sum(t.tenants), len(c.Holes)); err != nil {
				return err
			}
		}
	}
	s.marks.Promised = s.tally.total
	return nil
}

// lacksRecords reports whether events of a partition cannot be counted because commit records are missing (C10). To
// count what is left would give up the others.
func (s *Server) lacksRecords(ctx context.Context, c *record.Chain) bool {
	newest, err := s.publisher.Published(ctx)
	return err != nil || newest.CheckChain(c) != nil
}

// logged returns how many events each tenant has in a partition: those that landed, and those in the
// log after the chain's head.
func (s *Server) logged(ctx context.Context, c *record.Chain) (map[string]int64, error) {
	n := map[string]int64{}
	add := func(tenants map[string]int64) {
		for tenant, events := range tenants {
			n[tenant] += events
		}
	}
	for _, seg := range c.Segments {
		add(seg.Tenants)
	}
	first, next, err := s.engines.log.Bounds(ctx, c.Partition)
	from := max(first, c.Head.Seq)
	if err != nil || from >= next {
		return n, err
	}
	err = source{s.engines.log}.tenants(ctx, c.Partition, from, next,
		func(seq uint64, tenants map[string]int64) {
			add(tenants)
			s.progress.report("partition %d: message %d of [%d, %d)", c.Partition, seq, from, next)
		})
	return n, err
}

func sum(tenants map[string]int64) (n int64) {
	for _, events := range tenants {
		n += events
	}
	return n
}

// booksTries is how often the books are read before an audit gives up because the log was trimmed meanwhile.
const booksTries = 3

// books reads the facts of an audit: first what was acknowledged, and last the log's bounds. So
// every tier is read at least as late as the tier before it.
func (s *Server) books(ctx context.Context) (*conservation.Books, error) {
	b := &conservation.Books{Catalog: s.generations.Catalog()}
	chains, err := s.currentChains(ctx)
	if err != nil {
		return nil, err
	}
	promised := make([]*conservation.Acknowledged, s.cfg.Log.Partitions)
	for p := range promised {
		s.tally.giveUp(p, chains[p].Holes)
		promised[p] = s.tally.acknowledgedIn(p)
	}
	for _, n := range s.publisher.Kept() {
		state, err := s.publisher.StateAt(ctx, n)
		if err != nil {
			continue // It has just expired, or the pin names a publication that is not made yet.
		}
		b.States = append(b.States, state)
	}
	if n := len(b.States); n > 0 {
		if b.Counted, err = cells.NewStore(s.engines.sql, b.Catalog).EventsByView(ctx, b.States[n-1]); err != nil {
			return nil, err
		}
	}
	if chains, err = s.currentChains(ctx); err != nil {
		return nil, err
	}
	for p, c := range chains {
		x := conservation.Partition{Landed: c.Segments, Holes: c.Holes, Head: c.Head, Acknowledged: promised[p],
			Voided: s.marks.Voided(p)}
		if x.First, x.Next, err = s.engines.log.Bounds(ctx, p); err != nil {
			return nil, err
		}
		s.tally.forget(p, x.First)
		x.Messages = func(ctx context.Context, from, to uint64, each func(uint64, map[string]int64)) error {
			return source{s.engines.log}.tenants(ctx, p, from, to, each)
		}
		b.Partitions = append(b.Partitions, x)
	}
	return b, nil
}

// conserve runs the audit once. It reads the books again where the log was trimmed meanwhile.
func (s *Server) conserve(ctx context.Context) (a *conservation.Audit, err error) {
	for range booksTries {
		var b *conservation.Books
		if b, err = s.books(ctx); err != nil {
			return nil, err
		}
		if a, err = b.Conserve(ctx); err == nil || !errors.Is(err, position.ErrTrimmed) {
			return a, err
		}
	}
	return nil, err
}

// recheck rechecks the newest publication once. The result does not count if the publication expired
// meanwhile, because its rows are then removed on purpose.
func (s *Server) recheck(ctx context.Context) (openapi.Recheck, error) {
	st := s.publisher.State()
	if st.N == 0 {
		return openapi.Recheck{}, nil
	}
	chains, err := s.currentChains(ctx)
	if err != nil {
		return openapi.Recheck{}, err
	}
	cfg := recheck.DefaultConfig(s.generations.Catalog())
	if cfg.Schemas, err = landing.StoredSchemas(ctx, s.engines.records); err != nil {
		return openapi.Recheck{}, err
	}
	checker := recheck.New(cfg, s.engines.sql, s.engines.lake.Access)
	r, err := checker.Check(ctx, st, chains)
	if err == nil && !slices.Contains(s.publisher.Kept(), st.N) {
		err = fmt.Errorf("publication %d expired while it was checked; the next run checks the newest publication",
			st.N)
	}
	return r, err
}
