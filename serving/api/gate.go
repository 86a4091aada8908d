package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
)

// errBusy says that no more queries may wait.
var errBusy = errors.New("too many queries are waiting; try again after Retry-After")

// gate lets a bounded number of queries run, and a bounded number wait.
//
// Tenants take turns. The next query to run is of the tenant with the fewest running queries. When
// no more queries may wait, the tenant with the most queries loses a waiting query to a tenant with
// fewer. So a tenant with few queries waits for running queries of others, but not for their waiting
// queries. First come, first served would give nearly all places to the tenant with the most queries.
//
// A tenant with many queries could still have all places, if it reads slowly and its answers are too
// large to be held. So with several tenants, one tenant may have three quarters of the places.
//
// A patient query has waited for min_through or max_staleness and may wait on. All of them come at once when a
// publication does. So it is not one of the bounded number, but of the lobby's, until its patience ends.
type gate struct {
	maxRunning, maxWaiting int
	// maxPerTenant is how many queries of one tenant may run.
	maxPerTenant int
	// maxHeld is how many bytes of answers may be held.
	maxHeld int64

	mu sync.Mutex
	// held is how many bytes of answers wait to be read.
	held    int64
	running int
	// waiting is how many queries wait that are not patient.
	waiting int
	// arrived is how many queries have ever waited.
	arrived uint64
	// lines holds the line of each tenant that has a query.
	lines map[string]*line
}

// line is the queries of one tenant. A query waits only while maxRunning queries run in total, or
// maxPerTenant queries of its tenant.
type line struct {
	running int
	// waiting is in order of arrival.
	waiting []*turn
	// patient is how many of waiting are patient.
	patient int
}

// turn is one waiting query.
type turn struct {
	number  uint64
	patient bool
	// granted gets one value: true to run, false to make room for another tenant.
	granted chan bool
}

func newGate(c Config) *gate {
	g := &gate{maxRunning: c.MaxConcurrent, maxWaiting: c.MaxQueued, maxPerTenant: c.MaxConcurrent,
		maxHeld: c.MaxHeld, lines: map[string]*line{}}
	if c.Fair {
		g.maxPerTenant = max(1, c.MaxConcurrent-max(1, c.MaxConcurrent/4))
	}
	return g
}

// enter waits for a turn, patiently until a time if that is not past. The caller must call leave if err is nil.
func (g *gate) enter(ctx context.Context, until time.Time) (leave func(), err error) {
	principal, ok := access.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	leave = func() { g.leave(principal.Tenant) }
	patience := time.Until(until)
	t, err := g.join(principal.Tenant, patience > 0)
	if t == nil {
		return leave, err
	}
	var ended <-chan time.Time
	if t.patient {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		ended = timer.C
	}
	for {
		select {
		case granted := <-t.granted:
			if !granted {
				return nil, errBusy
			}
			return leave, nil
		case <-ended:
			if !g.endPatience(principal.Tenant, t) {
				return nil, errBusy
			}
		case <-ctx.Done():
			if g.abandon(principal.Tenant, t) {
				leave() // The turn was granted at the last moment.
			}
			return nil, context.Cause(ctx)
		}
	}
}

// join lets a query run at once and returns no turn, or makes it wait and returns its turn.
func (g *gate) join(tenant string, patient bool) (*turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[tenant]
	if l == nil {
		l = &line{}
	}
	switch {
	case g.running < g.maxRunning && l.running < g.maxPerTenant:
		l.running++
		g.running++
		g.lines[tenant] = l
		return nil, nil
	case !patient && !g.makeRoom(l):
		return nil, errBusy
	}
	g.arrived++
	t := &turn{g.arrived, patient, make(chan bool, 1)}
	l.waiting = append(l.waiting, t)
	g.lines[tenant] = l
	if patient {
		l.patient++
	} else {
		g.waiting++
	}
	return t, nil
}

// endPatience makes a patient query one of the bounded number, which keeps its turn. It returns false if there is no
// room for it, and then it no longer waits.
func (g *gate) endPatience(tenant string, t *turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[tenant]
	if l == nil || !slices.Contains(l.waiting, t) {
		return true // Its turn was granted at the last moment.
	}
	if !g.makeRoom(l) {
		g.removeTurn(l, slices.Index(l.waiting, t))
		g.forget(tenant)
		return false
	}
	t.patient = false
	l.patient--
	g.waiting++
	return true
}

// removeTurn removes a turn from a line and returns it. mu must be held.
func (g *gate) removeTurn(l *line, i int) *turn {
	t := l.waiting[i]
	l.waiting = slices.Delete(l.waiting, i, i+1)
	if t.patient {
		l.patient--
	} else {
		g.waiting--
	}
	return t
}

// makeRoom reports whether one more query may wait. If there is no room, it refuses the newest waiting query of the
// tenant with the most queries. That tenant must have at least two more than l, else l would be the next to lose a
// query. mu must be held.
func (g *gate) makeRoom(l *line) bool {
	if g.waiting < g.maxWaiting {
		return true
	}
	var longest *line
	for _, other := range g.lines {
		if len(other.waiting) > other.patient && (longest == nil || other.queries() > longest.queries()) {
			longest = other
		}
	}
	if longest == nil || longest.queries() < l.queries()+2 {
		return false
	}
	newest := len(longest.waiting) - 1
	for longest.waiting[newest].patient {
		newest--
	}
	g.removeTurn(longest, newest).granted <- false
	return true
}

// queries is how many queries of the tenant run or wait, without patient ones.
func (l *line) queries() int { return l.running + len(l.waiting) - l.patient }

// abandon removes a waiting query from its line. It reports whether the query's turn was granted
// in the meantime.
func (g *gate) abandon(tenant string, t *turn) (granted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lines[tenant]; l != nil {
		if i := slices.Index(l.waiting, t); i >= 0 {
			g.removeTurn(l, i)
			g.forget(tenant)
			return false
		}
	}
	return <-t.granted // A query leaves the line only with a value in granted.
}

// leave ends a query and lets the next one run.
func (g *gate) leave(tenant string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lines[tenant].running--
	g.running--
	g.forget(tenant)
	if l := g.next(); l != nil {
		g.removeTurn(l, 0).granted <- true
		l.running++
		g.running++
	}
}

// forget drops the line of a tenant that has no query. mu must be held.
func (g *gate) forget(tenant string) {
	if l := g.lines[tenant]; l.running+len(l.waiting) == 0 {
		delete(g.lines, tenant)
	}
}

// next returns the line whose turn it is: the one with the fewest running queries and, among
// equals, with the query that has waited longest. mu must be held.
func (g *gate) next() (best *line) {
	for _, l := range g.lines {
		if len(l.waiting) == 0 || l.running == g.maxPerTenant {
			continue
		}
		if best == nil || l.running < best.running || l.running == best.running &&
			l.waiting[0].number < best.waiting[0].number {
			best = l
		}
	}
	return best
}

// count returns how many queries run, and how many wait that are not patient.
func (g *gate) count() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.waiting
}

// hold reserves n bytes for an answer that waits to be read, and reports whether there was room. A
// negative n gives bytes back.
func (g *gate) hold(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n > 0 && g.held+n > g.maxHeld {
		return false
	}
	g.held += n
	return true
}

// heldBytes returns how many bytes are reserved for answers that wait to be read.
func (g *gate) heldBytes() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// gated gives a handler the limits of a query, because its answer is held in memory too: it waits
// for a turn, and has a query's time.
func (a *API) gated(h handler) handler { return a.gatedFor(1, time.Time{}, h) }

// gatedFor is gated for a request with several queries. They run one after the other, so they have one place. The
// request waits for it patiently until a time, and a query's time begins then at the latest.
func (a *API) gatedFor(queries int, until time.Time, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		out, err := a.newCompressed(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout+max(0, time.Until(until)))
		defer cancel()
		leave, err := a.enter(ctx, queries, until)
		if err != nil {
			return err
		}
		answer := &held{ResponseWriter: w, gate: a.gate, leave: sync.OnceFunc(leave)}
		defer answer.leave()
		defer answer.drop()
		out.ResponseWriter = answer
		w.Header().Add("Vary", "Accept-Encoding")
		if err := h(out, r.WithContext(ctx)); err != nil {
			out.discard()
			return err
		}
		if err := out.finish(); err != nil {
			return clientGone(err)
		}
		return answer.send()
	}
}

// enter checks the tenant's rate of queries, and then waits for a turn at the gate. A patient query has a place in the
// lobby meanwhile.
func (a *API) enter(ctx context.Context, queries int, until time.Time) (leave func(), err error) {
	principal, ok := access.FromContext(ctx)
	if ok && a.parts.Admit != nil {
		if wait := a.parts.Admit(principal.Tenant, queries); wait > 0 {
			return nil, &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.RateLimited,
				Detail:     "this tenant's rate of queries is used up; try again after Retry-After",
				RetryAfter: wait}
		}
	}
	if !ok || !time.Now().Before(until) || !a.lobby.enter(principal.Tenant) {
		return a.gate.enter(ctx, time.Time{})
	}
	defer a.lobby.leave(principal.Tenant)
	return a.gate.enter(ctx, until)
}
