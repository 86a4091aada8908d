package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"recount/jobs/conservation"
)

// tally counts what ingest has promised, which is what the tiers behind it must not be short
// of (A1). A nil tally is that of a process without ingest.
type tally struct {
	partitions []promises
}

// promises are those of one partition.
type promises struct {
	mu      sync.Mutex
	total   int64
	tenants map[string]int64
	recent  []conservation.Promise

	unreadable *conservation.UnreadableError // what the log had at the start was counted up to here; set once
}

// maxRecent bounds the promises that are remembered one by one, in each partition. Older
// ones are in the sums alone, so a loss among them is still found, and only its place is not.
const maxRecent = 1 << 16

// acknowledged is ingest.Options.Acknowledged.
func (t *tally) acknowledged(partition int, seq uint64, tenant string, events int) {
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += int64(events)
	p.tenants[tenant] += int64(events)
	if len(p.recent) == maxRecent {
		p.recent = slices.Delete(p.recent, 0, maxRecent/2)
	}
	p.recent = append(p.recent, conservation.Promise{Seq: seq, Tenant: tenant, Events: int64(events)})
}

// total is how many events of a partition were promised.
func (t *tally) total(partition int) int64 {
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// of is everything that was promised in a partition; nil where that is not known.
func (t *tally) of(partition int) *conservation.Acknowledged {
	if t == nil || t.partitions[partition].unreadable != nil {
		return nil
	}
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return &conservation.Acknowledged{Total: p.total, Tenants: maps.Clone(p.tenants), Recent: slices.Clone(p.recent)}
}

// forget drops what lies below the log's first message, of which nothing is left to compare with.
func (t *tally) forget(partition int, first uint64) {
	if t == nil {
		return
	}
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.DeleteFunc(p.recent, func(x conservation.Promise) bool { return x.Seq < first })
}

// readable says which partitions could not be counted at the start. Only a start counts them anew.
func (t *tally) readable() error {
	if t == nil {
		return nil
	}
	var errs []error
	for p := range t.partitions {
		if u := t.partitions[p].unreadable; u != nil {
			errs = append(errs, fmt.Errorf("partition %d cannot be counted: %w", p, u))
		}
	}
	return errors.Join(errs...)
}
