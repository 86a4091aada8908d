package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrMemoryBusy means that others hold the memory that a query needs. Trying again later helps.
var ErrMemoryBusy = errors.New("others hold the memory that the query needs (query.memory, clickhouse.memory); try " +
	"again after Retry-After")

// TooMuchMemoryError means that a query needs more memory than a query may ever have.
type TooMuchMemoryError struct{ Limit int64 }

func (e *TooMuchMemoryError) Error() string {
	return fmt.Sprintf("the query needs more than the %d MiB that one query may have; use fewer dimensions, fewer "+
		"distinct measures, a coarser granularity or a shorter range, or raise query.memory", e.Limit>>20)
}

const (
	// shareStep is how much memory a share claims at least. So most queries claim once.
	shareStep = 1 << 20
	// SmallClaim is the largest claim that does not wait for claims before it. Otherwise a query of a
	// few kilobytes would wait for one of a gigabyte.
	SmallClaim = 64 << 20
)

// Budget is the memory that all queries of a process share, in bytes. Each query has a Share, which
// claims more as the query grows. A claim for which there is no room waits in line. Queries that hold
// memory come first, because they will give it back. A claim fails after the longest wait. It fails at
// once if every query that holds memory would wait, because then none would give any back.
//
// Rejected: a fixed part for each place. It would be too small for one large query, or the places would
// hold more than the machine has.
type Budget struct {
	size      int64
	perTenant int64 // how much the queries of one tenant may hold
	wait      time.Duration

	mu      sync.Mutex
	left    int64
	holders int // shares that hold something
	tenants map[string]int64
	line    []*claim // those of holders first, and then in order of arrival
	refused uint64
}

// claim asks for n more bytes for a tenant's share.
type claim struct {
	tenant  string
	n       int64
	holder  bool // whether the share holds something
	granted chan struct{}
}

// NewBudget returns a budget of size bytes, in which a claim waits at most as long as wait says. With
// fair, the queries of one tenant may hold three quarters of it.
func NewBudget(size int64, wait time.Duration, fair bool) *Budget {
	b := &Budget{size: size, perTenant: size, wait: wait, left: size, tenants: map[string]int64{}}
	if fair {
		b.perTenant = size - size/4
	}
	return b
}

// Share is what one query holds of a budget. A nil share has no limit.
type Share struct {
	budget *Budget
	tenant string

	mu   sync.Mutex
	used int64
	held int64 // at least used
}

// Open returns an empty share of a tenant's query. A nil budget gives a nil share.
func (b *Budget) Open(tenant string) *Share {
	if b == nil {
		return nil
	}
	return &Share{budget: b, tenant: tenant}
}

// Grow adds n bytes to the share. It may wait. The error is ErrMemoryBusy, a *TooMuchMemoryError, or that of ctx.
func (s *Share) Grow(ctx context.Context, n int64) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.held {
		more := min(max(s.used+n-s.held, shareStep), s.budget.perTenant-s.held)
		if s.used+n > s.held+more {
			return &TooMuchMemoryError{s.budget.perTenant}
		}
		if err := s.budget.claim(ctx, s, more); err != nil {
			return err
		}
		s.held += more
	}
	s.used += n
	return nil
}

// Shrink gives n bytes back.
func (s *Share) Shrink(n int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if idle := s.held - s.used; idle > shareStep {
		s.release(idle)
	}
}

// Close gives everything back.
func (s *Share) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = 0
	s.release(s.held)
}

// release gives n bytes back to the budget. mu must be held.
func (s *Share) release(n int64) {
	if n > 0 {
		s.held -= n
		s.budget.release(s.tenant, n, s.held == 0)
	}
}

// Room returns how much the share may still claim, or most if that is less.
func (s *Share) Room(most int64) int64 {
	if s == nil {
		return most
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(most, s.budget.perTenant-s.used)
}

// Held returns how many bytes all shares hold, how many claims wait, and how many were refused.
func (b *Budget) Held() (bytes int64, waiting int, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.left, len(b.line), b.refused
}

// claim takes n bytes for a share, or waits for them. The share's mu must be held.
func (b *Budget) claim(ctx context.Context, s *Share, n int64) error {
	c := &claim{s.tenant, n, s.held > 0, make(chan struct{})}
	if !b.join(c) {
		return ErrMemoryBusy
	}
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	err := ErrMemoryBusy
	select {
	case <-c.granted:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return b.abandon(c, err)
}

// join grants a claim, or lets it wait in line. It returns false if that would be in vain.
func (b *Budget) join(c *claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := slices.IndexFunc(b.line, func(o *claim) bool { return !o.holder }) // holders that wait
	if waiting < 0 {
		waiting = len(b.line)
	}
	place := len(b.line)
	if c.holder {
		place = waiting
	}
	if (place == 0 || c.n <= SmallClaim) && b.fits(c) {
		b.give(c)
		return true
	}
	if c.holder {
		waiting++
	}
	if waiting >= b.holders {
		b.refused++
		return false
	}
	b.line = slices.Insert(b.line, place, c)
	return true
}

// fits reports whether there is room for a claim. mu must be held.
func (b *Budget) fits(c *claim) bool {
	return c.n <= b.left && b.tenants[c.tenant]+c.n <= b.perTenant
}

// give grants a claim. mu must be held.
func (b *Budget) give(c *claim) {
	b.left -= c.n
	b.tenants[c.tenant] += c.n
	if !c.holder {
		b.holders++
	}
	close(c.granted)
}

// abandon takes a claim out of the line and returns err, or nil if the claim was granted at the last moment.
func (b *Budget) abandon(c *claim, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.line, c)
	if i < 0 {
		return nil
	}
	b.line = slices.Delete(b.line, i, i+1)
	b.refused++
	b.serve()
	return err
}

// release gives back n bytes of a tenant, which are the last ones of a share or not.
func (b *Budget) release(tenant string, n int64, last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last {
		b.holders--
	}
	b.left += n
	if b.tenants[tenant] -= n; b.tenants[tenant] == 0 {
		delete(b.tenants, tenant)
	}
	b.serve()
}

// serve grants the claims from the head of the line on for which there is room. A tenant that holds its
// part does not keep others waiting. mu must be held.
func (b *Budget) serve() {
	blocked := false
	b.line = slices.DeleteFunc(b.line, func(c *claim) bool {
		blocked = blocked || c.n > b.left
		if blocked || !b.fits(c) {
			return false
		}
		b.give(c)
		return true
	})
}
