package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/batch/cells"
	"recount/batch/recheck"
	"recount/jobs/conservation"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
)

// openTally counts what the log has and begins to count what ingest promises. A process
// without ingest promises nothing.
func (s *Stack) openTally(ctx context.Context) error {
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
			s.log.Error("a partition cannot be counted: the others go on, and an operator must restore its log (C7)",
				"partition", p, "error", err)
			t.total = s.marks.Remembered(p)
		case err != nil:
			return fmt.Errorf("count the events of partition %d: %w", p, err)
		default:
			if t.total, err = s.marks.Settle(p, sum(t.tenants)); err != nil {
				return err
			}
		}
	}
	s.marks.Promised = s.tally.total
	return nil
}

// logged is how many events of each tenant have landed or are in the log behind what has.
func (s *Stack) logged(ctx context.Context, c *record.Chain) (map[string]int64, error) {
	n := map[string]int64{}
	take := func(tenants map[string]int64) {
		for tenant, events := range tenants {
			n[tenant] += events
		}
	}
	for _, seg := range c.Segments {
		take(seg.Tenants)
	}
	first, next, err := s.engines.log.Bounds(ctx, c.Partition)
	from := max(first, c.Head.Seq)
	if err != nil || from >= next {
		return n, err
	}
	err = source{s.engines.log}.tenants(ctx, c.Partition, from, next,
		func(_ uint64, tenants map[string]int64) { take(tenants) })
	return n, err
}

func sum(tenants map[string]int64) (n int64) {
	for _, events := range tenants {
		n += events
	}
	return n
}

// booksTries bounds how often the facts are read again because the log was trimmed meanwhile.
const booksTries = 3

// books reads the facts of an audit: what was promised first and the log's bounds last, so
// that every tier is at least as new as the one before it.
func (s *Stack) books(ctx context.Context) (*conservation.Books, error) {
	b := &conservation.Books{Catalog: s.catalog}
	promised := make([]*conservation.Acknowledged, s.cfg.Log.Partitions)
	for p := range promised {
		promised[p] = s.tally.of(p)
	}
	for _, n := range s.publisher.Kept() {
		state, err := s.publisher.At(ctx, n)
		if err != nil {
			continue // It expired this moment, or its pin is of a publication yet to come.
		}
		b.States = append(b.States, state)
	}
	var err error
	if n := len(b.States); n > 0 {
		if b.Counted, err = cells.NewStore(s.engines.sql, s.catalog).EventsByView(ctx, b.States[n-1]); err != nil {
			return nil, err
		}
	}
	chains, err := s.currentChains(ctx)
	if err != nil {
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

// conserve is a run of the audit. The janitor may trim the log while it is read.
func (s *Stack) conserve(ctx context.Context) (a *conservation.Audit, err error) {
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

// recheck is a run of the recheck. A publication that expired meanwhile has lost rows on purpose.
func (s *Stack) recheck(ctx context.Context) (openapi.Recheck, error) {
	st := s.publisher.State()
	if st.N == 0 {
		return openapi.Recheck{}, nil
	}
	chains, err := s.currentChains(ctx)
	if err != nil {
		return openapi.Recheck{}, err
	}
	r, err := recheck.New(recheck.DefaultConfig(s.catalog), s.engines.sql, s.engines.lake.Reach).Check(ctx, st, chains)
	if err == nil && !slices.Contains(s.publisher.Kept(), st.N) {
		err = fmt.Errorf("publication %d expired while it was checked; the next run checks another", st.N)
	}
	return r, err
}
