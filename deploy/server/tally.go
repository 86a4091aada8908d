package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"recount/jobs/conservation"
	"recount/schemas/record"
)

// tally counts the events that ingest has acknowledged. The audit compares every later tier with
// it (A1). A process without ingest has a nil tally.
type tally struct {
	partitions []promises
}

// promises are the acknowledged events of one partition.
type promises struct {
	mu      sync.Mutex
	total   int64
	tenants map[string]int64
	recent  []conservation.Promise
	givenUp []conservation.Promise // those in a hole (C7); at most what recent could hold

	uncounted  bool                          // commit records were missing at start; the next start counts
	unreadable *conservation.UnreadableError // the message at which the count at start ended; nil if all was counted
}

// maxRecent bounds the promises that a partition remembers one by one. Older promises are only in
// the sums: a loss among them is still found, but its offset is not.
const maxRecent = 1 << 16

// acknowledged adds the events of a message that ingest has acknowledged; it is ingest.Options.Acknowledged.
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

// total returns how many events of a partition were acknowledged.
func (t *tally) total(partition int) int64 {
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// acknowledgedIn returns everything that was acknowledged in a partition; nil where that is not known.
func (t *tally) acknowledgedIn(partition int) *conservation.Acknowledged {
	if t == nil || t.partitions[partition].unreadable != nil || t.partitions[partition].uncounted {
		return nil
	}
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return &conservation.Acknowledged{Total: p.total, Tenants: maps.Clone(p.tenants), Recent: slices.Clone(p.recent),
		GivenUp: slices.Clone(p.givenUp)}
}

// giveUp sorts out the promises in the holes of a partition's chain (C7). Their messages count nowhere.
func (t *tally) giveUp(partition int, holes []*record.Commit) {
	if t == nil || len(holes) == 0 {
		return
	}
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.DeleteFunc(p.recent, func(x conservation.Promise) bool {
		inHole := slices.ContainsFunc(holes, func(c *record.Commit) bool { return c.Start <= x.Seq && x.Seq < c.End })
		if inHole && len(p.givenUp) < maxRecent {
			p.givenUp = append(p.givenUp, x)
		}
		return inHole
	})
}

// forget drops the promises below the log's first message: the log has nothing to compare them with.
func (t *tally) forget(partition int, first uint64) {
	if t == nil {
		return
	}
	p := &t.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.DeleteFunc(p.recent, func(x conservation.Promise) bool { return x.Seq < first })
}

// remedy says what an operator can do about messages that cannot be read (C7).
func remedy(partition int, u *conservation.UnreadableError) string {
	return fmt.Sprintf("restore the log, or stop the server and give them up: recount hole --partition %d --from %d "+
		"--to %d --reason TEXT", partition, u.Seq, u.End)
}

// unreadable returns an error that names the partitions that could not be counted at start. Only
// the next start counts them again.
func (t *tally) unreadable() error {
	if t == nil {
		return nil
	}
	var errs []error
	for p := range t.partitions {
		if u := t.partitions[p].unreadable; u != nil {
			errs = append(errs, fmt.Errorf("partition %d cannot be counted: %w; %s", p, u, remedy(p, u)))
		}
	}
	return errors.Join(errs...)
}
