package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"recount/schemas/problem"
	"recount/schemas/query"
)

// maxAwaiting is how many queries may wait for min_through or max_staleness. One that waits holds a connection and
// looks at a few numbers ten times a second, and no place at the gate. Those that then wait for a place are counted
// too, until their patience ends.
const maxAwaiting = 1000

// lobby is where queries wait before they come to the gate. With several tenants, one may have three quarters of it.
type lobby struct {
	perTenant int

	mu      sync.Mutex // mu guards all that follows.
	waiting int
	tenants map[string]int
}

func newLobby(fair bool) *lobby {
	l := &lobby{perTenant: maxAwaiting, tenants: map[string]int{}}
	if fair {
		l.perTenant = maxAwaiting - maxAwaiting/4
	}
	return l
}

// enter counts a query in, and returns false if it may not wait. The caller must call leave if it may.
func (l *lobby) enter(tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == maxAwaiting || l.tenants[tenant] == l.perTenant {
		return false
	}
	l.waiting++
	l.tenants[tenant]++
	return true
}

func (l *lobby) leave(tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if l.tenants[tenant]--; l.tenants[tenant] == 0 {
		delete(l.tenants, tenant)
	}
}

func (l *lobby) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// await waits for what a query asks of its answer, before it takes a place at the gate. It waits at most query.timeout,
// and the answer may take as long again. The publication is pinned only after the wait. It returns until when the query
// may wait on, for a place: other queries may have waited for the same event.
func (a *API) await(ctx context.Context, q *query.Query, tenant string) (until time.Time, err error) {
	if !q.WaitsFor() {
		return until, nil
	}
	patience, err := q.Patience(a.cfg.Timeout)
	if err != nil {
		return until, err
	}
	until = time.Now().Add(patience)
	if !a.lobby.enter(tenant) {
		return until, errBusy
	}
	defer a.lobby.leave(tenant)
	if q.MinThrough != nil {
		if err := a.setMinThrough(ctx, q.MinThrough); err != nil {
			return until, err
		}
	}
	err = a.parts.Answerer.Await(ctx, q, tenant, time.Until(until))
	if p := problemOfUnmet(err); p != nil {
		a.metrics.unmet.WithLabelValues(p.Field).Inc()
	}
	return until, err
}

func (a *API) setMinThrough(ctx context.Context, m *query.MinThrough) error {
	if a.parts.MinThrough == nil {
		return invalid("min_through", "this process does not know receipts")
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	return a.parts.MinThrough(ctx, m)
}

// problemOfUnmet returns the problem of a query that no answer met in time, or nil.
func problemOfUnmet(err error) *problem.Problem {
	var short *query.ShortError
	var stale *query.StaleError
	switch {
	case errors.As(err, &short):
		p := &problem.Problem{Status: http.StatusGatewayTimeout, Code: problem.NotReached, Detail: short.Error(),
			Field: "min_through"}
		for _, m := range short.Missing {
			p.Reasons = append(p.Reasons, fmt.Sprintf("partition %d: through %d, min_through %d", m.Partition,
				m.Through, m.MinThrough))
		}
		return p
	case errors.As(err, &stale):
		return &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.TooStale, Detail: stale.Error(),
			Field: "max_staleness", RetryAfter: time.Second}
	}
	return nil
}
