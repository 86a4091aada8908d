package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrBusy says that this round has no answer and that the next one may have one.
	ErrBusy = errors.New("the query could not be asked now")
	// ErrClosed says that the hub is closed.
	ErrClosed = errors.New("the streams of this process have ended")
)

// FullError says that there is no room for a reader.
type FullError struct {
	What string // readers or queries
	Most int
	// OfTenant says that other tenants may have room.
	OfTenant bool
}

func (e *FullError) Error() string {
	if e.OfTenant {
		return fmt.Sprintf("this tenant's share of stream.%s, %d, is used up", e.What, e.Most)
	}
	return fmt.Sprintf("all %d of stream.%s are in use", e.Most, e.What)
}

// Hub runs queries for readers. It is safe for concurrent use.
type Hub struct {
	cfg     Config
	metrics *metrics
	ctx     context.Context //nolint:containedctx // It ends the queries, which outlive the requests that begin them.
	end     context.CancelCauseFunc
	rounds  sync.WaitGroup

	mu      sync.Mutex // mu guards all that follows, and the readers of each running query.
	running map[string]*running
	readers int
	tenants map[string]*tenant
}

// tenant is what one tenant has.
type tenant struct{ readers, queries int }

// New returns a hub. The caller must close it.
func New(cfg Config, r prometheus.Registerer) *Hub {
	h := &Hub{cfg: cfg, running: map[string]*running{}, tenants: map[string]*tenant{}}
	h.ctx, h.end = context.WithCancelCause(context.Background())
	h.metrics = newMetrics(r, h)
	return h
}

// Close ends all queries with ErrClosed, and returns when none runs any more. Nobody can join afterwards.
func (h *Hub) Close() {
	h.mu.Lock()
	h.end(ErrClosed)
	h.mu.Unlock()
	h.rounds.Wait()
}

// OnClose calls f when the hub closes, or at once if it is closed, unless stop is called before.
func (h *Hub) OnClose(f func()) (stop func() bool) { return context.AfterFunc(h.ctx, f) }

// Closed reports whether the hub is closed.
func (h *Hub) Closed() bool { return h.ctx.Err() != nil }

// Join returns a reader of a query, which begins to run unless it does already. The caller must call Leave. The error
// is ErrClosed or a *FullError.
func (h *Hub) Join(q Query) (*Reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	key := q.key()
	found := h.running[key]
	if err := h.checkRoom(q.Tenant, found == nil); err != nil {
		h.metrics.refused.WithLabelValues(err.What).Inc()
		return nil, err
	}
	if h.tenants[q.Tenant] == nil {
		h.tenants[q.Tenant] = &tenant{}
	}
	if found == nil {
		found = newRunning(h, q)
		h.running[key] = found
		h.tenants[q.Tenant].queries++
		h.rounds.Go(found.run)
	}
	h.tenants[q.Tenant].readers++
	h.readers++
	found.readers++
	return &Reader{running: found, first: found.join()}, nil
}

// checkRoom returns what a new reader of a tenant lacks, or nil. mu must be held.
func (h *Hub) checkRoom(name string, begins bool) *FullError {
	own := tenant{}
	if t := h.tenants[name]; t != nil {
		own = *t
	}
	switch {
	case h.readers >= h.cfg.Readers:
		return &FullError{What: "readers", Most: h.cfg.Readers}
	case own.readers >= h.cfg.share(h.cfg.Readers):
		return &FullError{"readers", h.cfg.share(h.cfg.Readers), true}
	case begins && len(h.running) >= h.cfg.Queries:
		return &FullError{What: "queries", Most: h.cfg.Queries}
	case begins && own.queries >= h.cfg.share(h.cfg.Queries):
		return &FullError{"queries", h.cfg.share(h.cfg.Queries), true}
	}
	return nil
}

// leave counts a reader out, and ends its query if it was the last one.
func (h *Hub) leave(q *running) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers--
	h.tenants[q.query.Tenant].readers--
	if q.readers--; q.readers == 0 {
		h.forget(q)
	}
	h.forgetTenant(q.query.Tenant)
}

// fail removes a query that has ended with an error, so that the next reader begins another.
func (h *Hub) fail(q *running) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(q)
	h.forgetTenant(q.query.Tenant)
}

// forget ends a query, unless it has ended. mu must be held.
func (h *Hub) forget(q *running) {
	q.cancel()
	if key := q.query.key(); h.running[key] == q {
		delete(h.running, key)
		h.tenants[q.query.Tenant].queries--
	}
}

// forgetTenant drops a tenant that has nothing. mu must be held.
func (h *Hub) forgetTenant(name string) {
	if t := h.tenants[name]; t != nil && *t == (tenant{}) {
		delete(h.tenants, name)
	}
}

// count returns how many readers there are, and how many queries run.
func (h *Hub) count() (readers, queries int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.readers, len(h.running)
}
