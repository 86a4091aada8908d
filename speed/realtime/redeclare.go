package realtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
)

// Declare makes the views those of another catalog, and of definitions that views had before (Open). It returns at
// once. Each partition counts the views anew from the oldest kept publication on, beside the ones that it has, and
// takes the new ones when they are level (S7). Until then it answers as before, and gives nothing of a view that is
// new.
func (v *Views) Declare(c *catalog.Catalog, before ...*catalog.Catalog) {
	plan := newPlan(c, before...)
	for _, p := range v.partitions {
		p.wanted.Store(plan)
		if heir := p.heir.Load(); heir != nil {
			heir.abandon() // It may wait for memory that its plan needs and the new one does not.
		}
		select {
		case p.declared <- struct{}{}:
		default:
		}
	}
}

// redeclare waits for Declare and counts the views of the wanted plan until the partition has taken them, or ctx ends.
func (p *partition) redeclare(ctx context.Context) {
	for {
		select {
		case <-p.declared:
		case <-ctx.Done():
			return
		}
		backoff := firstBackoff
		for ctx.Err() == nil && !p.hasPlan(p.wanted.Load()) {
			if err := p.countAnew(ctx, p.wanted.Load()); err != nil && ctx.Err() == nil {
				p.logger.Warn("changed views cannot be counted yet; trying again", "error", err)
				sleep(ctx, backoff) // Each attempt reads the log again, and indexes all identities.
				backoff = min(2*backoff, maxBackoff)
			}
		}
	}
}

// hasPlan reports whether the partition counts the views of a plan.
func (p *partition) hasPlan(wanted *plan) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Equal(wanted.viewIDs(), p.plan.viewIDs())
}

// countAnew counts the views of a plan beside the partition until they are level with it, and hands them over.
func (p *partition) countAnew(ctx context.Context, wanted *plan) error {
	heir, err := p.newHeir(wanted)
	if err != nil {
		return err
	}
	following, end := context.WithCancel(ctx)
	defer end()
	heir.abandon = end
	p.heir.Store(heir)
	defer p.heir.Store(nil)
	err = heir.follow(following, func() bool { return heir.next >= p.nextMessage() || p.wanted.Load() != wanted })
	switch {
	case p.wanted.Load() != wanted:
		return nil // The catalog has changed again.
	case err != nil:
		return fmt.Errorf("read message %d: %w", heir.next, err)
	}
	return p.handOver(ctx, heir)
}

// newHeir returns a partition that counts by another plan, from the oldest kept publication on. It has the identities
// from before that.
func (p *partition) newHeir(wanted *plan) (*partition, error) {
	snap := p.capture()
	snap.views = nil // Its segments are not those of the plan.
	p.mu.RLock()
	heir := &partition{
		id: p.id, partitionCount: p.partitionCount, cfg: p.cfg, bucket: p.bucket, plan: wanted, epochs: p.epochs,
		budget: p.budget, source: p.source, logger: p.logger, wake: make(chan struct{}, 1),
		floor: p.floor,
	}
	replay := p.replay
	next := p.next
	p.mu.RUnlock() // The index of identities takes long, and queries would wait for it.
	if replay > heir.floor {
		return nil, fmt.Errorf("the log is whole from message %d on, and the oldest kept publication ends at %d",
			replay, heir.floor)
	}
	start := min(snap.next, heir.floor)
	if !snap.truncate(start) {
		return nil, fmt.Errorf("replay from %d: %w (S2)", start, ErrNotBoundary)
	}
	snap.ring.detach()
	heir.reset(start, restoredWindow(p.cfg, p.bucket, snap))
	if failpoint.Off(failpoint.S7) {
		heir.next = max(heir.next, next)
	}
	return heir, nil
}

// detach copies what appending would change, because another ring has the same chunks.
func (r *ring) detach() {
	r.lineage = rand.Uint64()
	used := (r.end - r.base + chunkSize - 1) / chunkSize
	r.chunks = slices.Clone(r.chunks[:used])
	if used > 0 { // The other ring may append to its last chunk at this moment, so only the entries are read.
		last := new([chunkSize]identity)
		copy(last[:], r.chunks[used-1][:r.end-r.base-(used-1)*chunkSize])
		r.chunks[used-1] = last
	}
}

// follow consumes messages until done returns true, which it asks before each message.
func (p *partition) follow(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	r, err := p.source.Read(ctx, p.id, p.next)
	if err != nil {
		return err
	}
	defer r.Close()
	for !done() {
		if err := p.awaitMemory(ctx); err != nil {
			return err
		}
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if err := p.consume(m); err != nil {
			return err
		}
	}
	return nil
}

func (p *partition) nextMessage() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.next
}

// handOver gives the heir to the partition's goroutine and waits until it has taken it, or has refused it.
func (p *partition) handOver(ctx context.Context, heir *partition) error {
	p.mu.Lock()
	heir.taken = make(chan error, 1)
	p.successor = heir
	if p.interrupt != nil {
		p.interrupt()
	}
	p.wakeUp()
	p.mu.Unlock()
	select {
	case err := <-heir.taken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeOver makes what a successor has counted the state of the partition, and reports whether there was a successor.
// That first consumes what the partition has consumed meanwhile. So S never goes back.
func (p *partition) takeOver(ctx context.Context) bool {
	p.mu.Lock()
	heir := p.successor
	p.successor = nil
	p.mu.Unlock()
	if heir == nil {
		return false
	}
	err := errors.New("another owner began an epoch meanwhile")
	if slices.Equal(heir.epochs, p.epochs) {
		err = heir.follow(ctx, func() bool { return heir.next >= p.next })
	}
	if err == nil {
		p.adoptHeir(heir)
	}
	heir.taken <- err
	return true
}

func (p *partition) adoptHeir(heir *partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	heir.mu.RLock()
	defer heir.mu.RUnlock()
	p.plan = heir.plan
	p.cutter = heir.cutter
	p.window = heir.window
	p.nextFrozen = heir.nextFrozen
	p.base = heir.base
	p.floor = max(p.floor, heir.floor)
	p.next = heir.next
	p.closed = heir.closed
	p.open = heir.open
	p.frozen = heir.frozen
	p.totals.closedBytes = heir.totals.closedBytes
	p.totals.openBytes = heir.totals.openBytes
	p.totals.window = heir.totals.window
	p.totals.appended = max(p.totals.appended, heir.totals.appended)
	p.logger.Info("the real-time views are those of another catalog", "through", p.next)
}
