package verify

import (
	"context"
	"errors"

	"recount/jobs/conservation"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// trimTries is how often the books are added up again because the log was trimmed.
const trimTries = 3

// checkConservation compares the tiers with each other (V8), from what this run has read itself. V2
// compares the histograms and counts of single objects with their rows, and V6 those of single buckets.
func checkConservation(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	books := &conservation.Books{Catalog: e.Catalog}
	for p, c := range s.chains {
		b := conservation.Partition{Landed: c.segments, Holes: c.holes, Head: c.head}
		if e.Log != nil {
			b.First = s.logs[p].first
			b.Next = s.logs[p].next
			b.Messages = func(ctx context.Context, from, to uint64, each func(uint64, map[string]int64)) error {
				return readTenants(ctx, e.Log, p, from, to, each)
			}
		}
		books.Partitions = append(books.Partitions, b)
		checkTenants(r, c)
	}
	for _, st := range s.kept {
		if s.onBoundaries(st) {
			books.States = append(books.States, st)
		}
	}
	if s.countedError != nil {
		return s.countedError
	}
	if n := len(books.States); n > 0 && books.States[n-1] == s.kept[len(s.kept)-1] {
		books.Counted = s.counted
	}
	if s.incomplete() {
		r.fail(V8, becauseOfChains)
		return nil
	}
	a, err := books.Conserve(ctx)
	for try := 0; try < trimTries && e.Kept != nil && errors.Is(err, position.ErrTrimmed); try++ {
		for p := range books.Partitions { // A running server trims what it no longer needs.
			if books.Partitions[p].First, _, err = e.Log.Bounds(ctx, p); err != nil {
				return err
			}
		}
		a, err = books.Conserve(ctx)
	}
	if err != nil {
		return err
	}
	for _, p := range a.Partitions {
		if p.Unreadable != "" {
			r.fail(V8, "the log of partition %d cannot be counted: %s", p.Partition, p.Unreadable)
		}
		for _, x := range p.Ranges {
			r.examine(V8, x.Landed+x.Waiting, "events")
		}
	}
	for _, x := range a.Residues {
		where := Place{Partition: x.Partition, From: x.From, To: x.To, Publication: x.Publication, View: x.View,
			Tenant: x.Tenant}
		if x.Events < 0 {
			r.find(V8, where, x.Do, "%d events are %s, but the tier before does not have them", -x.Events, x.Tier)
			continue
		}
		r.find(V8, where, x.Do, "%d events are not %s, but the tier before has them", x.Events, x.Tier)
	}
	return nil
}

// checkTenants compares a record's counts with the sums over its tenants.
func checkTenants(r *recorder, c *chain) {
	for _, seg := range c.segments {
		where := placeOf(c.partition).AtOffsets(seg.Epoch, seg.Start,
			seg.End).InFile(record.CommitKey(seg.Epoch, seg.Partition, seg.Start))
		if n := eventsOf(seg.Tenants); n != seg.Events {
			r.find(V8, where, restore, "the record has %d events, and its tenants have %d", seg.Events, n)
		}
		for _, o := range seg.Objects {
			if n := eventsOf(o.Tenants); o.Tenants != nil && n != o.Rows {
				r.find(V8, where, restore, "object %s has %d rows, and its tenants have %d", o.Key, o.Rows, n)
			}
		}
	}
}

func eventsOf(tenants map[string]int64) (n int64) {
	for _, t := range tenants {
		n += t
	}
	return n
}

// readTenants calls each with the events per tenant of every message [from, to) of a partition.
func readTenants(ctx context.Context, log *eventlog.Log, partition int, from, to uint64,
	each func(seq uint64, tenants map[string]int64)) error {
	reader, err := log.Read(ctx, partition, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for next := from; next < to; next++ {
		m, err := reader.Next(ctx)
		if errors.Is(err, position.ErrGap) {
			return conservation.Unreadable(next, err)
		}
		if err != nil {
			return err
		}
		tenants, err := eventbatch.Tenants(m.Data)
		if err != nil {
			return conservation.Unreadable(m.Seq, err)
		}
		each(m.Seq, tenants)
	}
	return nil
}
