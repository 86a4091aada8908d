package sql

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy means that other statements have all sessions that this one could get. Trying again later helps.
var ErrBusy = errors.New("other statements have all sessions of the engine that are for statements, or for those of " +
	"one tenant; try again after Retry-After")

// Sessions gives f a session that ends with f. When ctx ends first, it returns ctx's error at once, although f may
// still run.
type Sessions func(ctx context.Context, f func(Session) error) error

// Bound returns an engine that gives statements at most places sessions at once, and those of one tenant all but one of
// them. A statement has its place until the engine is done with it, and not until its context ends: the engine does not
// look at the clock within one call of a function, so a statement may go on long after nobody waits for it. The
// sessions beyond places stay free for others.
//
// A statement that finds no place waits for at most wait, and not at all for statements that nobody waits for.
func Bound(sessions Sessions, count int, wait time.Duration) Engine {
	b := &bound{sessions: sessions, all: newPlaces(count), wait: wait, tenants: map[string]*tenantPlaces{}}
	return b.session
}

type bound struct {
	sessions Sessions
	all      *places
	wait     time.Duration

	mu      sync.Mutex
	tenants map[string]*tenantPlaces // with a statement that has a place or waits for one
}

// places are those of all statements, or of a tenant's.
type places struct {
	taken chan struct{}
	left  atomic.Int64 // statements that still run, and that nobody waits for
}

type tenantPlaces struct {
	*places
	users int
}

func newPlaces(count int) *places { return &places{taken: make(chan struct{}, count)} }

// The states of a statement that has a place.
const (
	waits int32 = iota // for a session
	runs
	ended
	gone // nobody waits for it
)

// session is an Engine.
func (b *bound) session(ctx context.Context, tenant string, f func(Session) error) error {
	own, err := b.enter(ctx, tenant)
	if err != nil {
		return err
	}
	leave := func() {
		<-b.all.taken
		<-own.taken
		b.close(tenant)
	}
	left := func(n int64) {
		b.all.left.Add(n)
		own.left.Add(n)
	}
	var state atomic.Int32
	err = b.sessions(ctx, func(s Session) error {
		if !state.CompareAndSwap(waits, runs) {
			return context.Canceled // It has no place any more.
		}
		defer func() {
			if state.Swap(ended) == gone {
				left(-1)
			}
			leave()
		}()
		return f(s)
	})
	if state.CompareAndSwap(waits, gone) {
		leave()
		return err
	}
	left(1)
	if !state.CompareAndSwap(runs, gone) {
		left(-1) // It has ended.
	}
	return err
}

// enter waits for a place of the tenant, and then for one of all.
func (b *bound) enter(ctx context.Context, tenant string) (*places, error) {
	own := b.open(tenant)
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	if err := own.enter(ctx, timer.C); err != nil {
		b.close(tenant)
		return nil, err
	}
	if err := b.all.enter(ctx, timer.C); err != nil {
		<-own.taken
		b.close(tenant)
		return nil, err
	}
	return own, nil
}

// open returns the places of a tenant. Each call needs a close.
func (b *bound) open(tenant string) *places {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.tenants[tenant]
	if own == nil {
		own = &tenantPlaces{places: newPlaces(max(1, cap(b.all.taken)-1))}
		b.tenants[tenant] = own
	}
	own.users++
	return own.places
}

func (b *bound) close(tenant string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.tenants[tenant]
	if own.users--; own.users == 0 {
		delete(b.tenants, tenant)
	}
}

// enter waits for a place until the timer ends.
func (p *places) enter(ctx context.Context, timer <-chan time.Time) error {
	select {
	case p.taken <- struct{}{}:
		return nil
	default:
	}
	if p.left.Load() >= int64(cap(p.taken)) {
		return ErrBusy
	}
	select {
	case p.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer:
		return ErrBusy
	}
}
