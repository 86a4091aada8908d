package stack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"recount/batch/cells"
	"recount/deploy/verify"
	"recount/jobs"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// tally is the log as ingest sees it, with a count of what ingest has been promised, which
// is what the tiers behind it must not be short of (A1).
type tally struct {
	*eventlog.Log
	promised []atomic.Int64 // events, by partition
}

// Append appends a message and counts its events once they are durable.
func (t *tally) Append(ctx context.Context, partition int, frame []byte, msgID string) (uint64, error) {
	h, err := eventbatch.ReadHeader(frame)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err) // Such a frame never will be stored.
	}
	seq, err := t.Log.Append(ctx, partition, frame, msgID)
	if err == nil {
		t.promised[partition].Add(int64(h.Events))
	}
	return seq, err
}

// openTally counts what the log has and begins to count what it is promised. A process
// without ingest promises nothing.
func (s *Stack) openTally(ctx context.Context) error {
	if !s.roles.Has(Ingest) {
		return nil
	}
	s.tally = &tally{Log: s.engines.log, promised: make([]atomic.Int64, len(s.chains))}
	for p, c := range s.chains {
		logged, err := s.logged(ctx, c)
		if err != nil {
			return fmt.Errorf("count the events of partition %d: %w", p, err)
		}
		promised, err := s.marks.Settle(p, logged)
		if err != nil {
			return err
		}
		s.tally.promised[p].Store(promised)
	}
	s.marks.Promised = func(p int) int64 { return s.tally.promised[p].Load() }
	return nil
}

// logged is how many events have landed or are in the log behind what has.
func (s *Stack) logged(ctx context.Context, c *record.Chain) (int64, error) {
	n := c.Events
	first, next, err := s.engines.log.Bounds(ctx, c.Partition)
	from := max(first, c.Head.Seq)
	if err != nil || from >= next {
		return n, err
	}
	err = verify.ReadHeaders(ctx, s.engines.log, c.Partition, from, next, func(_ uint64, h eventbatch.Header) { n += int64(h.Events) })
	return n, err
}

// booksTries bounds how often the facts are read again because the log was trimmed meanwhile.
const booksTries = 3

// books reads the facts of an audit: what was promised first and the log's bounds last, so
// that every tier is at least as new as the one before it.
func (s *Stack) books(ctx context.Context) (*jobs.Books, error) {
	b := &jobs.Books{Catalog: s.catalog}
	promised := make([]*int64, s.cfg.Log.Partitions)
	for p := range promised {
		if s.tally != nil {
			n := s.tally.promised[p].Load()
			promised[p] = &n
		}
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
		if b.Counted, err = verify.CountRows(ctx, cells.NewStore(s.engines.sql, s.catalog), s.catalog, b.States[n-1]); err != nil {
			return nil, err
		}
	}
	chains, err := s.currentChains(ctx)
	if err != nil {
		return nil, err
	}
	for p, c := range chains {
		x := jobs.PartitionBooks{Landed: c.Segments, Holes: c.Holes, Head: c.Head, Acknowledged: promised[p], Voided: s.marks.Voided(p)}
		if x.First, x.Next, err = s.engines.log.Bounds(ctx, p); err != nil {
			return nil, err
		}
		x.Headers = func(ctx context.Context, from, to uint64, each func(uint64, eventbatch.Header)) error {
			return verify.ReadHeaders(ctx, s.engines.log, p, from, to, each)
		}
		b.Partitions = append(b.Partitions, x)
	}
	return b, nil
}

// conserve is a run of the audit. The janitor may trim the log while it is read.
func (s *Stack) conserve(ctx context.Context) (a *jobs.Audit, err error) {
	for range booksTries {
		var b *jobs.Books
		if b, err = s.books(ctx); err != nil {
			return nil, err
		}
		if a, err = b.Conserve(ctx); err == nil || !errors.Is(err, eventlog.ErrTrimmed) {
			return a, err
		}
	}
	return nil, err
}
