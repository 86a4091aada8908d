package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"recount/schemas/access"
	"recount/schemas/problem"
)

// errBusy says that no more queries may wait.
var errBusy = errors.New("too many queries are waiting; try again after Retry-After")

// gate admits a bounded number of queries, and as many again to wait.
//
// Tenants take turns: the next to run is of the tenant with the fewest running, and when the
// waiting places are used up, who has most gives one to who has less. So a tenant that
// asks now and then waits for others' running queries and not for their waiting ones.
// First come first served would let the one who asks most have nearly all.
//
// One that asks a lot and reads slowly would have every place all the same, if its answers are
// too large to be held. With more than one tenant about, each may have three quarters of them.
type gate struct {
	maxRunning, maxWaiting int
	most                   int   // places one tenant may have
	maxHeld                int64 // bytes

	mu      sync.Mutex
	held    int64 // bytes of answers that wait to be read
	running int
	waiting int
	arrived uint64           // queries that ever waited
	lines   map[string]*line // of tenants that have a query here
}

// line is the queries of one tenant. A query waits only while maxRunning run, or most of its tenant.
type line struct {
	running int
	waiting []*turn // first come first served
}

// turn is one waiting query.
type turn struct {
	number uint64
	may    chan bool // told once: run, or make room for another tenant
}

func newGate(c Config) *gate {
	g := &gate{maxRunning: c.MaxConcurrent, maxWaiting: c.MaxQueued, most: c.MaxConcurrent, maxHeld: c.MaxHeld,
		lines: map[string]*line{}}
	if c.Fair {
		g.most = max(1, c.MaxConcurrent-max(1, c.MaxConcurrent/4))
	}
	return g
}

// enter waits for a turn. leave must be called when err is nil.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	who, ok := access.FromContext(ctx)
	if !ok {
		return nil, errNobody
	}
	leave = func() { g.leave(who.Tenant) }
	t, err := g.join(who.Tenant)
	if t == nil {
		return leave, err
	}
	select {
	case may := <-t.may:
		if !may {
			return nil, errBusy
		}
		return leave, nil
	case <-ctx.Done():
		if g.abandon(who.Tenant, t) {
			leave() // Its turn came at the last moment.
		}
		return nil, context.Cause(ctx)
	}
}

// join lets a query run at once, which returns no turn, or wait for one.
func (g *gate) join(tenant string) (*turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[tenant]
	if l == nil {
		l = &line{}
	}
	switch {
	case g.running < g.maxRunning && l.running < g.most:
		l.running++
		g.running++
		g.lines[tenant] = l
		return nil, nil
	case g.waiting == g.maxWaiting && !g.makeRoom(l):
		return nil, errBusy
	}
	g.arrived++
	t := &turn{g.arrived, make(chan bool, 1)}
	l.waiting = append(l.waiting, t)
	g.waiting++
	g.lines[tenant] = l
	return t, nil
}

// makeRoom sends the newest waiting query of the tenant with most queries away, if it
// has so many more than l that l does not become the next to lose one. mu must be held.
func (g *gate) makeRoom(l *line) bool {
	var most *line
	for _, other := range g.lines {
		if len(other.waiting) > 0 && (most == nil || other.queries() > most.queries()) {
			most = other
		}
	}
	if most == nil || most.queries() < l.queries()+2 {
		return false
	}
	last := len(most.waiting) - 1
	most.waiting[last].may <- false
	most.waiting = most.waiting[:last]
	g.waiting--
	return true
}

func (l *line) queries() int { return l.running + len(l.waiting) }

// abandon takes a waiting query out of its line; granted says that it was let in meanwhile.
func (g *gate) abandon(tenant string, t *turn) (granted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lines[tenant]; l != nil {
		if i := slices.Index(l.waiting, t); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			g.waiting--
			g.forget(tenant)
			return false
		}
	}
	return <-t.may // It was told before it left the line.
}

// leave ends a query and lets the next one run.
func (g *gate) leave(tenant string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lines[tenant].running--
	g.running--
	g.forget(tenant)
	if l := g.next(); l != nil {
		l.waiting[0].may <- true
		l.waiting = l.waiting[1:]
		g.waiting--
		l.running++
		g.running++
	}
}

// forget drops the line of a tenant that has no query. mu must be held.
func (g *gate) forget(tenant string) {
	if g.lines[tenant].queries() == 0 {
		delete(g.lines, tenant)
	}
}

// next is the line whose turn it is: fewest running, then longest waiting. mu must be held.
func (g *gate) next() (best *line) {
	for _, l := range g.lines {
		if len(l.waiting) == 0 || l.running == g.most {
			continue
		}
		if best == nil || l.running < best.running || l.running == best.running &&
			l.waiting[0].number < best.waiting[0].number {
			best = l
		}
	}
	return best
}

// count returns how many queries run and wait.
func (g *gate) count() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.waiting
}

// hold takes n bytes for an answer that waits to be read, or gives them back.
func (g *gate) hold(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n > 0 && g.held+n > g.maxHeld {
		return false
	}
	g.held += n
	return true
}

// holding returns how many bytes are taken for answers that wait to be read.
func (g *gate) holding() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// gated lets a handler run only when a query could, and as long as one: its answer is held in
// memory as well.
func (a *API) gated(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
		defer cancel()
		leave, err := a.enter(ctx)
		if err != nil {
			return err
		}
		answer := &held{ResponseWriter: w, gate: a.gate, leave: sync.OnceFunc(leave)}
		defer answer.leave()
		defer answer.drop()
		if err := h(answer, r.WithContext(ctx)); err != nil {
			return err
		}
		return answer.send()
	}
}

// enter is how a request gets its turn: within its tenant's rate, then at the gate.
func (a *API) enter(ctx context.Context) (leave func(), err error) {
	if who, ok := access.FromContext(ctx); ok && a.parts.Admit != nil {
		if wait := a.parts.Admit(who.Tenant); wait > 0 {
			return nil, &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.RateLimited,
				Detail:     "the rate of queries allowed to this tenant is used up; ask again after Retry-After",
				RetryAfter: wait}
		}
	}
	return a.gate.enter(ctx)
}
