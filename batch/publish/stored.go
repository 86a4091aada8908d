package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount/schemas/record"
)

// CheckStored returns an error if a reader would refuse what is stored. The job expire calls it before it
// deletes anything; Collect checks the same for pinned publications too. It checks that:
//
//   - no publication is known to have existed after the newest one in the store (checkNumbers)
//   - the commit chains are whole and reach H of every kept publication, over the records that it names
//   - the last record of every chain is still in the store, which a running process would not notice
func (p *Publisher) CheckStored(ctx context.Context) error {
	p.running.Lock()
	defer p.running.Unlock()
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	if err := p.loadKept(ctx); err != nil {
		return err
	}
	if err := p.checkNumbers(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	recent := slices.Clone(p.recent)
	p.mu.Unlock()
	return p.checkChains(ctx, recent)
}

// checkKept is CheckStored with pinned publications, after a Refresh. It returns the number of the newest
// publication and all kept states.
func (p *Publisher) checkKept(ctx context.Context) (n uint64, kept []*record.State, err error) {
	if err := p.loadKept(ctx); err != nil {
		return 0, nil, err
	}
	if err := p.checkNumbers(ctx); err != nil {
		return 0, nil, err
	}
	// n is read before the kept states. So a publication that appears in between is above n or among
	// them; it cannot be below n and missing from them.
	n = p.State().N
	if kept, err = p.keptStates(ctx); err != nil {
		return 0, nil, err
	}
	return n, kept, p.checkChains(ctx, kept)
}

// checkChains checks the stored chains against publications.
func (p *Publisher) checkChains(ctx context.Context, states []*record.State) error {
	chains, err := p.checkedChains(ctx, states...)
	if err != nil {
		return err
	}
	return p.checkLastRecords(ctx, chains)
}

// checkedChains reads the chains and checks them against publications that were read before.
func (p *Publisher) checkedChains(ctx context.Context, states ...*record.State) ([]*record.Chain, error) {
	chains, err := p.chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	if len(chains) != p.cfg.Partitions {
		return nil, fmt.Errorf("read commit chains: got %d chains, but log.partitions is %d", len(chains),
			p.cfg.Partitions)
	}
	for i, c := range chains {
		if err := p.checkChain(c, i); err != nil {
			return nil, err
		}
		for _, s := range states {
			if err := s.Publication.CheckChain(c); err != nil {
				return nil, err
			}
		}
	}
	return chains, nil
}

// checkChain checks that a chain belongs to partition i of this configuration.
func (p *Publisher) checkChain(c *record.Chain, i int) error {
	switch {
	case c.Partition != i:
		return fmt.Errorf("read commit chains: the chain at index %d is that of partition %d", i, c.Partition)
	case c.Begun() && c.Bucket != p.bucket:
		return fmt.Errorf("partition %d: batch.bucket is %s, but the lake was begun with %s; set it back", i,
			p.bucket, c.Bucket)
	case c.Begun() && c.Partitions != p.cfg.Partitions:
		return fmt.Errorf("partition %d: log.partitions is %d, but the lake was begun with %d; set it back", i,
			p.cfg.Partitions, c.Partitions)
	}
	return nil
}

// checkLastRecords checks that the last record of every chain is still in the store. A process holds
// the chains in memory and reads on from their heads, so it would not notice that the store lost
// records. Each record names the one before it, so the digest of the last stands for all.
func (p *Publisher) checkLastRecords(ctx context.Context, chains []*record.Chain) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headRequests)
	for _, c := range chains {
		if !c.Begun() {
			continue
		}
		g.Go(func() error {
			raw, err := p.records.Get(ctx, c.LastKey())
			if errors.Is(err, record.ErrNotFound) || err == nil && record.Digest(raw) != c.Tip {
				return fmt.Errorf("%w: partition %d: %s is missing, or not the record that this process has read; "+
					"restore it from a copy of the bucket", record.ErrMissing, c.Partition, c.LastKey())
			}
			if err != nil {
				return fmt.Errorf("partition %d: %w", c.Partition, err)
			}
			return nil
		})
	}
	return g.Wait()
}
