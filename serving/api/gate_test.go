package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/merge"
)

// TestTurns lets tenants compete at a gate of one running and two waiting queries.
func TestTurns(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 1, MaxQueued: 2})
	wait := func(tenant string) *turn {
		t.Helper()
		turn, err := g.join(tenant, false)
		if err != nil {
			t.Fatalf("%s: %v", tenant, err)
		}
		return turn
	}
	if wait("flood") != nil {
		t.Fatal("the first query waits")
	}
	first := wait("flood")
	second := wait("flood")
	if _, err := g.join("flood", false); !errors.Is(err, errBusy) {
		t.Errorf("a fourth query of tenant flood: got %v", err)
	}
	other := wait("other") // It takes the place of flood's newest query.
	if len(second.granted) != 1 || <-second.granted {
		t.Error("flood's newest query was not refused")
	}
	if _, err := g.join("flood", false); !errors.Is(err, errBusy) {
		t.Errorf("flood takes the place of a tenant with fewer queries: got %v", err)
	}
	if _, err := g.join("third", false); err != nil { // Flood has one running and one waiting query.
		t.Errorf("a third tenant: got %v", err)
	}
	if len(first.granted) != 1 || <-first.granted {
		t.Error("flood's other waiting query was not refused")
	}
	if _, err := g.join("fourth", false); !errors.Is(err, errBusy) {
		t.Errorf("each tenant has one query, but a fourth tenant got a place: %v", err)
	}
	g.leave("flood")
	if len(other.granted) != 1 || !<-other.granted {
		t.Error("the query that has waited longest does not run")
	}
}

// TestFewestRunningFirst has a tenant flood that came first and has more running queries. The next
// query is the later one of another tenant.
func TestFewestRunningFirst(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 2, MaxQueued: 4})
	for range 3 {
		_, _ = g.join("flood", false) // Two run.
	}
	other, err := g.join("other", false)
	if err != nil {
		t.Fatal(err)
	}
	if g.leave("flood"); len(other.granted) != 1 {
		t.Error("flood runs a third query before the other tenant runs one")
	}
}

// TestGateNeverLosesAPlace enters, leaves and abandons in random order. Never do too many queries
// run, no query waits while there is room, and at the end all places are free.
func TestGateNeverLosesAPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		cfg := Config{MaxConcurrent: rapid.IntRange(1, 3).Draw(r, "running"),
			MaxQueued: rapid.IntRange(0, 3).Draw(r, "waiting"), Fair: rapid.Bool().Draw(r, "fair")}
		m := &gateModel{cfg: cfg, gate: newGate(cfg)}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			m.step(r)
			m.settle()
			m.check(r)
		}
		for len(m.running) > 0 {
			m.gate.leave(m.running[0])
			m.running = m.running[1:]
			m.settle()
		}
		if len(m.gate.lines) > 0 || len(m.waiting) > 0 {
			r.Fatalf("left over: %v, %v", m.gate.lines, m.waiting)
		}
	})
}

// gateModel is a gate with the queries that should run and wait at it.
type gateModel struct {
	cfg  Config
	gate *gate
	// running has the tenant of each running query.
	running []string
	waiting []waiter
}

type waiter struct {
	tenant string
	turn   *turn
}

// step lets a query join, leave or be abandoned.
func (m *gateModel) step(r *rapid.T) {
	switch tenant := fmt.Sprint(rapid.IntRange(0, 2).Draw(r, "tenant")); rapid.IntRange(0, 4).Draw(r, "step") {
	case 0, 1:
		turn, err := m.gate.join(tenant, rapid.Bool().Draw(r, "patient"))
		switch {
		case err == nil && turn == nil:
			m.running = append(m.running, tenant)
		case err == nil:
			m.waiting = append(m.waiting, waiter{tenant, turn})
		}
	case 2:
		if len(m.running) > 0 {
			i := rapid.IntRange(0, len(m.running)-1).Draw(r, "query")
			m.gate.leave(m.running[i])
			m.running = append(m.running[:i], m.running[i+1:]...)
		}
	case 3:
		if len(m.waiting) > 0 {
			i := rapid.IntRange(0, len(m.waiting)-1).Draw(r, "query")
			if w := m.waiting[i]; m.gate.abandon(w.tenant, w.turn) {
				r.Fatal("a waiting query left its line without a value in granted")
			}
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
		}
	case 4:
		if i := slices.IndexFunc(m.waiting, func(w waiter) bool { return w.turn.patient }); i >= 0 {
			if w := m.waiting[i]; !m.gate.endPatience(w.tenant, w.turn) {
				m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			}
		}
	}
}

// settle moves the queries whose turn was granted from waiting to running, and drops refused ones.
func (m *gateModel) settle() {
	kept := m.waiting[:0]
	for _, w := range m.waiting {
		select {
		case granted := <-w.turn.granted:
			if granted {
				m.running = append(m.running, w.tenant)
			}
		default:
			kept = append(kept, w)
		}
	}
	m.waiting = kept
}

func (m *gateModel) check(r *rapid.T) {
	running, waiting := m.gate.count()
	impatient := 0
	for _, w := range m.waiting {
		if !w.turn.patient {
			impatient++
		}
	}
	if running != len(m.running) || waiting != impatient || running > m.cfg.MaxConcurrent ||
		waiting > m.cfg.MaxQueued {
		r.Fatalf("the gate counts %d running and %d waiting, want %d and %d with %+v", running, waiting,
			len(m.running), impatient, m.cfg)
	}
	runningByTenant := map[string]int{}
	for _, tenant := range m.running {
		runningByTenant[tenant]++
		if m.cfg.Fair && runningByTenant[tenant] == m.cfg.MaxConcurrent && m.cfg.MaxConcurrent > 1 {
			r.Fatalf("tenant %s has all places of %+v", tenant, m.cfg)
		}
	}
	for _, w := range m.waiting {
		if n := runningByTenant[w.tenant]; running < m.cfg.MaxConcurrent && n < m.gate.maxPerTenant {
			r.Fatalf("tenant %s waits with %d running, while there is room in %+v", w.tenant, n, m.cfg)
		}
	}
}

// TestAbandonedAtTheLastMoment abandons a query whose turn was granted just before. Its place is
// given back.
func TestAbandonedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 1, MaxQueued: 1})
	_, _ = g.join("a", false)
	turn, _ := g.join("b", false)
	g.leave("a")
	if !g.abandon("b", turn) {
		t.Error("the place is lost")
	}
	ctx, cancel := context.WithCancel(access.NewContext(t.Context(), access.Local()))
	cancel()
	if _, err := g.enter(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := g.enter(t.Context(), time.Time{}); !errors.Is(err, errNoPrincipal) {
		t.Errorf("without a principal: got %v", err)
	}
	g.leave("b")
	if running, waiting := g.count(); running+waiting+len(g.lines) != 0 {
		t.Errorf("%d queries still run, and %d still wait", running, waiting)
	}
}

func TestQueryRate(t *testing.T) {
	t.Parallel()
	wait := time.Duration(0)
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Admit = func(tenant string, _ int) time.Duration {
			if tenant != "default" {
				t.Errorf("asked for tenant %q", tenant)
			}
			return wait
		}
	})
	if res, body := call(a, "POST", "/v1/query", hourly); res.StatusCode != http.StatusOK {
		t.Error(body)
	}
	wait = 1200 * time.Millisecond
	for _, target := range []string{"/v1/query?view=flights&from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z",
		"/v1/views", "/v1/publications"} {
		res, body := call(a, "GET", target, "")
		if p := decodeProblem(t, res, body); p.Code != "rate_limited" || res.StatusCode != 429 ||
			res.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: %s %s", target, res.Status, body)
		}
	}
	w := httptest.NewRecorder()
	serveMux(a).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/views", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("without a principal: got %d", w.Code)
	}
}

// TestNoPrincipal sends requests without a principal. Only the open routes answer them.
func TestNoPrincipal(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	for _, r := range a.routes {
		for method := range r.methods {
			open := r.pattern == "/healthz" || r.pattern == "/readyz" || r.pattern == "/openapi.json"
			body := strings.NewReader(`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-01-02T00:00:00Z"}`)
			query := ""
			if r.pattern == "/v1/query" && method == http.MethodGet {
				query = "?view=flights&from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z"
			}
			req := httptest.NewRequest(method,
				strings.NewReplacer("{name}", "flights", "{n}", "17").Replace(r.pattern)+query, body)
			req.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			serveMux(a).ServeHTTP(w, req)
			if (w.Code == http.StatusUnauthorized) == open {
				t.Errorf("%s %s: status %d: %s", method, r.pattern, w.Code, w.Body)
			}
		}
	}
}

// TestPlacesAreBounded checks that more processors do not mean more queries without bound.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	if n := DefaultConfig().MaxConcurrent; n > maxByDefault {
		t.Errorf("%d queries run at once", n)
	}
}

// TestNoMemoryIsTooManyQueries checks that a query without memory is told when to come back, and one that can
// never have enough is told what to change.
func TestNoMemoryIsTooManyQueries(t *testing.T) {
	t.Parallel()
	var answer error
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) { return nil, answer })
	})
	for _, c := range []struct {
		err    error
		status int
		code   problem.Code
		retry  string
	}{
		{query.ErrMemoryBusy, http.StatusTooManyRequests, problem.TooManyQueries, "2"},
		{&query.TooMuchMemoryError{Limit: 1 << 30}, http.StatusUnprocessableEntity, problem.QueryTooLarge, ""},
	} {
		answer = fmt.Errorf("scan: %w", c.err)
		res, body := call(a, http.MethodPost, "/v1/query", `{"view":"flights","from":"2001-01-01T00:00:00Z",`+
			`"to":"2001-01-02T00:00:00Z"}`)
		p := decodeProblem(t, res, body)
		if p.Status != c.status || p.Code != c.code || res.Header.Get("Retry-After") != c.retry {
			t.Errorf("%v: got %d, %s, Retry-After %q", c.err, p.Status, p.Code, res.Header.Get("Retry-After"))
		}
	}
}
