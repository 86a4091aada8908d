package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/schemas/record"
)

// State returns the newest publication that this process knows. Its N is 0 before the first one. It
// never blocks.
func (p *Publisher) State() *record.State { return p.newest.Load() }

// Follow calls Refresh at an interval until ctx ends, for a process that does not publish itself. It
// logs an error and tries again.
func (p *Publisher) Follow(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.Refresh(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.Warn("new publications cannot be read; the next try follows", "publication", p.State().N,
				"error", err)
		}
		p.lookForLost(ctx)
	}
}

// Refresh reads the publications after the newest one that this process knows.
func (p *Publisher) Refresh(ctx context.Context) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	if err := p.checkPassed(ctx); err != nil {
		return fmt.Errorf("refresh publications: %w", err)
	}
	for {
		raw, err := p.records.Get(ctx, record.PublicationKey(p.State().N+1))
		if errors.Is(err, record.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("refresh publications: %w", err)
		}
		if err := p.advance(raw); err != nil {
			return fmt.Errorf("refresh publications: %w", err)
		}
	}
}

// advance makes raw, the record after the newest publication, the newest (U3). p.reading must be held.
func (p *Publisher) advance(raw []byte) error {
	s, err := p.apply(p.State(), raw)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.recent = p.keep(p.recent, s)
	p.newest.Store(s)
	p.mu.Unlock()
	p.announce(s)
	return nil
}

// apply returns the state that raw, the record after s, makes of s.
func (p *Publisher) apply(s *record.State, raw []byte) (*record.State, error) {
	s, err := s.Apply(raw)
	if err != nil {
		return nil, err
	}
	if len(s.H) != p.cfg.Partitions {
		return nil, fmt.Errorf("%w: publication %d has %d partitions, but log.partitions is %d; set it back",
			record.ErrInvalid, s.N, len(s.H), p.cfg.Partitions)
	}
	if id := s.Publication.Installation; id != "" && p.cfg.Installation != "" && id != p.cfg.Installation {
		return nil, fmt.Errorf("%w: publication %d belongs to installation %s, and the object store to %s; restore "+
			"publish/ and %s from the same copy of the bucket", record.ErrInvalid, s.N, id, p.cfg.Installation,
			record.InstallationKey)
	}
	return s, nil
}

// keep returns recent with s after it, without the states that are no longer kept. p.mu must be held.
func (p *Publisher) keep(recent []*record.State, s *record.State) []*record.State {
	recent = append(recent, s)
	return slices.Clone(recent[p.firstKept(recent):]) // The copy lets the states before it be freed.
}

// announce says that s has become the newest publication.
func (p *Publisher) announce(s *record.State) {
	if p.cfg.OnPublish != nil {
		p.cfg.OnPublish(s)
	}
}

// loadNewest reads the newest publications. It goes back from the last key to a base before every kept
// publication, then forward. What was known before stays until all are read, because the process may be answering.
func (p *Publisher) loadNewest(ctx context.Context) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	p.readAt = p.cfg.Now()
	last, err := lastPublication(ctx, p.records)
	if err != nil {
		return err
	}
	if err := p.loadKept(ctx); err != nil {
		return err
	}
	if last == 0 {
		return nil
	}
	f, err := p.forgotten(ctx) // batch.keep may have been raised since.
	if err != nil {
		return err
	}
	limit := p.cfg.Now().Add(-2 * p.cfg.LongestQuery)
	kept := 0
	raws, err := p.readBack(ctx, last, func(b *record.Publication) bool {
		kept++
		if f.Forgets(b.N - 1) {
			return false
		}
		return kept < p.cfg.Keep || b.Created.After(limit) // The one before was replaced when this one was created.
	})
	if err != nil {
		return err
	}
	return p.reload(raws)
}

// reload makes raws, which begin with a base, the known publications. p.reading must be held.
func (p *Publisher) reload(raws [][]byte) (err error) {
	known := p.State().N
	s := record.EmptyState(p.cfg.Partitions)
	var recent []*record.State
	var fresh []*record.State // what OnPublish has not seen
	for _, raw := range raws {
		if s, err = p.apply(s, raw); err != nil {
			return err
		}
		p.mu.Lock()
		recent = p.keep(recent, s)
		p.mu.Unlock()
		if s.N > known {
			fresh = append(fresh, s)
		}
	}
	p.mu.Lock()
	p.recent = recent
	p.newest.Store(s)
	p.mu.Unlock()
	for _, s := range fresh {
		p.announce(s)
	}
	return nil
}

// lastPublication returns the highest number under the prefix, or 0 if there is no publication.
func lastPublication(ctx context.Context, records record.CommitLog) (last uint64, err error) {
	keys, err := records.List(ctx, record.PublicationPrefix)
	if err != nil {
		return 0, fmt.Errorf("list publications: %w", err)
	}
	for _, k := range keys {
		if n, ok := record.PublicationNumber(k); ok {
			last = max(last, n)
		}
	}
	return last, nil
}

// NamedGeneration returns the newest stored publication and the generation of the catalog that it names, or 0 (G1). It
// needs no catalog, so it is for those who may make the next generation before there is a publisher.
func NamedGeneration(ctx context.Context, records record.CommitLog) (publication, generation uint64, err error) {
	last, err := lastPublication(ctx, records)
	if err != nil || last == 0 {
		return 0, 0, err
	}
	raw, err := records.Get(ctx, record.PublicationKey(last))
	if err != nil {
		return 0, 0, fmt.Errorf("read publication %d: %w", last, err)
	}
	b, err := record.DecodePublication(raw)
	if err != nil {
		return 0, 0, fmt.Errorf("read publication %d: %w", last, err)
	}
	return last, b.Generation, nil
}

// readBack returns the records from a base to n, ascending. It calls wanted for each record, from n down, which
// says whether the record before it is wanted too. Once wanted has returned false, readBack stops at the next
// base, which may be the same record. It reads no further, because the publication before a base may be forgotten.
func (p *Publisher) readBack(ctx context.Context, n uint64, wanted func(*record.Publication) bool) (raws [][]byte,
	err error) {
	for more := true; n > 0; n-- {
		raw, err := p.records.Get(ctx, record.PublicationKey(n))
		if errors.Is(err, record.ErrNotFound) {
			return nil, missing(n)
		}
		if err != nil {
			return nil, fmt.Errorf("read publication %d: %w", n, err)
		}
		b, err := record.DecodePublication(raw)
		if err != nil {
			return nil, fmt.Errorf("read publication %d: %w", n, err)
		}
		raws = append(raws, raw)
		more = more && wanted(b)
		if b.Base && !more {
			break
		}
	}
	slices.Reverse(raws)
	return raws, nil
}

// missing returns the error about a publication that is needed and not in the store.
func missing(n uint64) error {
	return fmt.Errorf("%w: %s is missing, on which later publications build; restore it from a copy of the bucket",
		record.ErrMissing, record.PublicationKey(n))
}
