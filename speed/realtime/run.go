package realtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// Waits between attempts to read a log that does not answer.
const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// run consumes the log until ctx ends. It returns an error if the partition is stopped at that time.
func (p *partition) run(ctx context.Context) error {
	defer p.updateState(func(s *state) { s.ended = true })
	backoff := firstBackoff
	for {
		before := p.next
		err := p.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case p.applyRenewal(), p.takeOver(ctx):
			continue
		case mustStop(err):
			if err := p.awaitPublication(ctx, err); err != nil {
				return fmt.Errorf("real-time views of partition %d: %w", p.id, err)
			}
			continue
		case p.next > before:
			backoff = firstBackoff
		}
		p.updateState(func(s *state) { s.stalled = err.Error() })
		p.logger.Warn("cannot read the log; trying again", "sequence", p.next, "error", err)
		if !sleep(ctx, backoff) {
			return nil
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// mustStop reports whether the partition would skip or invent events if it continued after err.
func mustStop(err error) bool {
	return errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap) ||
		errors.Is(err, eventbatch.ErrCorrupt) || errors.Is(err, ErrNotBoundary)
}

// awaitPublication waits until the partition need not read the message that it cannot read: the oldest
// kept publication covers it, or Renew starts the partition again.
func (p *partition) awaitPublication(ctx context.Context, err error) error {
	for waits := false; !p.skipToFloor() && !p.applyRenewal() && !p.takeOver(ctx); waits = true {
		if !waits {
			p.recordStop(err)
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return p.state.failed
		}
	}
	p.updateState(func(s *state) { *s = state{} })
	p.logger.Info("the partition reads the log again", "sequence", p.next, "error", err)
	return nil
}

// recordStop records and logs why the partition does not continue. If it slept while another owner
// trimmed the log, it only has to hear of newer publications (L6): its answers are right, only older.
// Every other reason is an alarm, and the partition gives nothing (Q2).
func (p *partition) recordStop(err error) {
	if errors.Is(err, position.ErrTrimmed) {
		p.updateState(func(s *state) { s.stalled = err.Error() })
		p.logger.Warn("waiting for a publication that covers the trimmed messages", "sequence", p.next, "error", err)
		return
	}
	p.updateState(func(s *state) { s.failed = err })
	p.logger.Error("partition stopped; it continues when a publication covers the message", "sequence", p.next,
		"error", err)
}

// read opens a reader at the next message and consumes messages until an error.
func (p *partition) read(ctx context.Context) error {
	ctx, end := p.readContext(ctx)
	defer end()
	r, err := p.source.Read(ctx, p.id, p.next)
	if err != nil {
		return err
	}
	defer r.Close()
	p.updateState(func(s *state) { s.stalled = "" })
	for {
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
}

// awaitMemory waits until the aggregates are below the partition's share of the memory. If it dropped
// some of them instead, answers would be silently smaller (Q5).
func (p *partition) awaitMemory(ctx context.Context) error {
	for p.overBudget() {
		p.updateState(func(s *state) { s.stalled = stalledMemory })
		select {
		case <-p.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.state.stalled != "" { // Only this goroutine writes it, so no lock is needed.
		p.updateState(func(s *state) { s.stalled = "" })
	}
	return nil
}

func (p *partition) overBudget() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.totals.closedBytes+p.totals.openBytes >= p.budget
}

// skipToFloor moves the partition to H of the oldest kept publication if it has not reached that, and
// reports whether it did. The skipped messages are in the batch view. Only copies of their events
// are not recognized (D3).
func (p *partition) skipToFloor() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next >= p.floor {
		return false
	}
	p.window.beginSegment(p.floor)
	p.reset(p.floor, p.window)
	p.logger.Warn("the partition continues at the oldest kept publication; copies of events before it may count",
		"sequence", p.next)
	return true
}

func (p *partition) updateState(change func(*state)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.state)
}

// sleep waits for d and reports whether it waited to the end, before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
