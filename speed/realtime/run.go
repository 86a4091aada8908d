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

// run consumes until ctx ends. That is an error for a partition that has stopped then.
func (p *partition) run(ctx context.Context) error {
	defer p.updateState(func(s *state) { s.ended = true })
	backoff := firstBackoff
	for {
		before := p.next
		err := p.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case p.applyRenewal():
			continue
		case p.mustStop(err):
			if err := p.awaitPublication(ctx, err); err != nil {
				return fmt.Errorf("real-time views of partition %d: %w", p.id, err)
			}
			continue
		case p.next > before:
			backoff = firstBackoff
		}
		p.updateState(func(s *state) { s.stalled = err.Error() })
		p.logger.Warn("log does not answer", "sequence", p.next, "error", err)
		if !sleep(ctx, backoff) {
			return nil
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// fatal reports whether going on after err would skip or invent events.
func (p *partition) mustStop(err error) bool {
	return errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap) ||
		errors.Is(err, eventbatch.ErrCorrupt) || errors.Is(err, ErrNotBoundary)
}

// stop reads no further until what the partition cannot read is the batch view's affair: the
// oldest kept publication is beyond it, or the partition begins anew.
func (p *partition) awaitPublication(ctx context.Context, err error) error {
	for waits := false; !p.skipToFloor() && !p.applyRenewal(); waits = true {
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
	p.logger.Warn("duplicates of events before the oldest kept publication may not be recognized", "sequence", p.next,
		"error", err)
	return nil
}

// halt says why the partition does not go on. One that slept while another owner trimmed the
// log has only to hear of newer publications (L6), and what it knows is right, only
// older. All else is an alarm, and it gives nothing (Q2).
func (p *partition) recordStop(err error) {
	if errors.Is(err, position.ErrTrimmed) {
		p.updateState(func(s *state) { s.stalled = err.Error() })
		p.logger.Warn("waiting for a publication that covers what was trimmed", "sequence", p.next, "error", err)
		return
	}
	p.updateState(func(s *state) { s.failed = err })
	p.logger.Error("partition stopped", "sequence", p.next, "error", err)
}

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

// room waits until the aggregates are below the partition's share of the memory.
// Dropping or thinning them instead would make a silently smaller number (Q5).
func (p *partition) awaitMemory(ctx context.Context) error {
	for p.overBudget() {
		p.updateState(func(s *state) { s.stalled = stalledMemory })
		select {
		case <-p.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.state.stalled != "" { // This goroutine alone writes it.
		p.updateState(func(s *state) { s.stalled = "" })
	}
	return nil
}

func (p *partition) overBudget() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.totals.closedBytes+p.totals.openBytes >= p.budget
}

// jump moves a partition that cannot read the log before the oldest kept publication to
// where it must begin to count. What it passes over is in the batch view; only
// copies of those events are not recognized (D3). It reports whether it was so.
func (p *partition) skipToFloor() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next >= p.floor {
		return false
	}
	p.window.beginSegment(p.floor)
	p.reset(p.floor, p.window)
	return true
}

func (p *partition) updateState(change func(*state)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.state)
}

// sleep reports whether the wait ended before ctx.
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
