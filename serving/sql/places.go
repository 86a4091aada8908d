package sql

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrBusy means that other statements have all sessions that are for statements. Trying again later helps.
var ErrBusy = errors.New("other statements have all sessions of the engine that are for statements; try again after " +
	"Retry-After")

// Bound returns an engine that gives statements at most places sessions at once. A statement has its place until the
// engine is done with it, and not until its context ends: the engine does not look at the clock within one call of a
// function, so a statement may go on long after nobody waits for it. The sessions beyond places stay free for others.
//
// A statement that finds no place waits for at most wait, and not at all for statements that nobody waits for.
func Bound(engine Engine, places int, wait time.Duration) Engine {
	b := &bound{engine: engine, places: make(chan struct{}, places), wait: wait}
	return b.session
}

type bound struct {
	engine Engine
	places chan struct{}
	wait   time.Duration
	left   atomic.Int64 // statements that still run, and that nobody waits for
}

// The states of a statement that has a place.
const (
	waits int32 = iota // for a session
	runs
	ended
	gone // nobody waits for it
)

// session is an Engine.
func (b *bound) session(ctx context.Context, f func(Session) error) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	var state atomic.Int32
	err := b.engine(ctx, func(s Session) error {
		if !state.CompareAndSwap(waits, runs) {
			return context.Canceled // It has no place any more.
		}
		defer func() {
			if state.Swap(ended) == gone {
				b.left.Add(-1)
			}
			<-b.places
		}()
		return f(s)
	})
	if state.CompareAndSwap(waits, gone) {
		<-b.places
		return err
	}
	b.left.Add(1)
	if !state.CompareAndSwap(runs, gone) {
		b.left.Add(-1) // It has ended.
	}
	return err
}

// enter waits for a place.
func (b *bound) enter(ctx context.Context) error {
	select {
	case b.places <- struct{}{}:
		return nil
	default:
	}
	if b.left.Load() >= int64(cap(b.places)) {
		return ErrBusy
	}
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case b.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return ErrBusy
	}
}
