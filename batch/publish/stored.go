package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount/schemas/position"
	"recount/schemas/record"
)

// ErrRecordsMissing is wrapped by the error about a store that lacks records it must have had, or
// that holds others in their place. Nothing is published or deleted then: what the missing records
// name looks like garbage.
var ErrRecordsMissing = errors.New("the object store lacks records")

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

// checkNumbers returns an error if the newest publication that this process knows is not the newest
// that ever was. Its number would then be given again (P2). Three witnesses are asked: the record
// of the newest publication that this process has read, the projection in ClickHouse, and the pins
// as of their last reading. Each exists only after the publication, and they are in two stores. A
// crash between a publication and its projection leaves one witness less. Rejected: the versions of
// rows, which would have to be searched in all tables, and which exist before their publication.
func (p *Publisher) checkNumbers(ctx context.Context) error {
	projected, err := p.views.Projected(ctx)
	if err != nil {
		return err
	}
	pinned := uint64(0)
	if pins := p.Pinned(); len(pins) > 0 {
		pinned = pins[len(pins)-1]
	}
	if max(projected, pinned) > p.State().N {
		if err := p.Refresh(ctx); err != nil { // Another publisher may have been faster.
			return err
		}
	}
	s := p.State()
	const lost = "%w: %s knows publication %d, but the newest record is %s; restore %s from a copy of the bucket, " +
		"or, if it is lost for ever, %s, and its number is given again"
	switch {
	case projected > s.N:
		// SQL readers would see a publication that is not there, beside answers from an earlier one.
		message := fmt.Sprintf("recount: ClickHouse shows publication %d, but the newest record in the object store "+
			"is %d; the error of the job recompute says what to do", projected, s.N)
		if err := p.views.Refuse(ctx, message); err != nil {
			return err
		}
		return fmt.Errorf(lost, ErrRecordsMissing, "ClickHouse", projected, newestName(s.N),
			record.PublicationKey(s.N+1), fmt.Sprintf("DELETE FROM recount_published WHERE n > %d (embedded: stop "+
				"recount and move data_dir/clickhouse away; its rows are computed again)", s.N))
	case pinned > s.N:
		return fmt.Errorf(lost, ErrRecordsMissing, "the pin "+PinKey(pinned), pinned, newestName(s.N),
			record.PublicationKey(s.N+1), "remove the pin")
	case s.N == 0:
		return nil
	}
	raw, err := p.records.Get(ctx, record.PublicationKey(s.N))
	if errors.Is(err, record.ErrNotFound) || err == nil && record.Digest(raw) != s.Digest {
		return fmt.Errorf("%w: %s is missing, or not the record that this process has read; restore it from a copy of "+
			"the bucket", ErrRecordsMissing, record.PublicationKey(s.N))
	}
	if err != nil {
		return fmt.Errorf("read publication %d: %w", s.N, err)
	}
	return nil
}

func newestName(n uint64) string {
	if n == 0 {
		return "none"
	}
	return record.PublicationKey(n)
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
			if s.N == 0 {
				continue
			}
			if err := checkReaches(c, s.N, s.H[i], s.Publication.Tips[i]); err != nil {
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
	case c.Begun() && c.Bucket != p.cfg.Catalog.Bucket:
		return fmt.Errorf("partition %d: batch.bucket is %s, but the lake was begun with %s; set it back", i,
			p.cfg.Catalog.Bucket, c.Bucket)
	case c.Begun() && c.Partitions != p.cfg.Partitions:
		return fmt.Errorf("partition %d: log.partitions is %d, but the lake was begun with %d; set it back", i,
			p.cfg.Partitions, c.Partitions)
	}
	return nil
}

// checkReaches checks that a chain reaches h, the partition's place in H of publication n, and that
// the record which ends there is the one that the publication names.
func checkReaches(c *record.Chain, n uint64, h position.Offset, tip string) error {
	key, digest, found := c.RecordAt(h)
	switch {
	case c.Head.Seq < h.Seq || c.Head.Epoch < h.Epoch:
		return fmt.Errorf("%w: partition %d: the commit chain ends at %v, but publication %d covers the partition "+
			"up to %v; restore the commit records that are missing, %s and later ones, from a copy of the bucket",
			ErrRecordsMissing, c.Partition, c.Head, n, h, c.NextKey())
	case !found:
		return fmt.Errorf("%w: partition %d: no commit record ends at %v, up to where publication %d covers the "+
			"partition; this is not the commit chain that was published; restore its commit records from a copy of "+
			"the bucket", ErrRecordsMissing, c.Partition, h, n)
	case digest != tip:
		return fmt.Errorf("%w: partition %d: %s has the digest %.12s…, but publication %d names %.12s… for it; the "+
			"record was replaced; restore it and earlier ones from a copy of the bucket, or, if they are lost for "+
			"ever, move publish/ and ClickHouse's data away: everything in the lake is computed again, under numbers "+
			"from 1",
			ErrRecordsMissing, c.Partition, key, digest, n, tip)
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
					"restore it from a copy of the bucket", ErrRecordsMissing, c.Partition, c.LastKey())
			}
			if err != nil {
				return fmt.Errorf("partition %d: %w", c.Partition, err)
			}
			return nil
		})
	}
	return g.Wait()
}
