package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/access"
)

// TestTurns asks in the names of two tenants at a gate of one running and two waiting queries.
func TestTurns(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 1, MaxQueued: 2})
	wait := func(tenant string) *turn {
		t.Helper()
		turn, err := g.join(tenant)
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
	if _, err := g.join("flood"); err != errBusy {
		t.Errorf("a fourth query of the flood: %v", err)
	}
	other := wait("other") // takes the place of the flood's newest
	if len(second.may) != 1 || <-second.may {
		t.Error("the flood's newest query was not sent away")
	}
	if _, err := g.join("flood"); err != errBusy {
		t.Errorf("the flood takes the place of somebody who has less: %v", err)
	}
	if _, err := g.join("third"); err != nil { // The flood runs one and waits with one.
		t.Errorf("a third tenant: %v", err)
	}
	if len(first.may) != 1 || <-first.may {
		t.Error("the flood's other query was not sent away")
	}
	if _, err := g.join("fourth"); err != errBusy {
		t.Errorf("nobody has more than one query, but a fourth tenant got a place: %v", err)
	}
	g.leave("flood")
	if len(other.may) != 1 || !<-other.may {
		t.Error("the other tenant waits longest and does not run")
	}
}

// TestFewestRunningFirst: the flood came first and runs more, so another tenant's later query is next.
func TestFewestRunningFirst(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 2, MaxQueued: 4})
	for range 3 {
		_, _ = g.join("flood") // Two run.
	}
	other, err := g.join("other")
	if err != nil {
		t.Fatal(err)
	}
	if g.leave("flood"); len(other.may) != 1 {
		t.Error("the flood runs again before the other tenant")
	}
}

// TestGateNeverLosesAPlace enters, leaves and gives up in any order: no more run than may,
// nobody waits while there is room, and at the end everything is free.
func TestGateNeverLosesAPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		cfg := Config{MaxConcurrent: rapid.IntRange(1, 3).Draw(r, "running"),
			MaxQueued: rapid.IntRange(0, 3).Draw(r, "waiting"), Fair: rapid.Bool().Draw(r, "fair")}
		g := newGate(cfg)
		type waiter struct {
			tenant string
			turn   *turn
		}
		var running []string
		var waiting []waiter
		settle := func() {
			kept := waiting[:0]
			for _, w := range waiting {
				select {
				case may := <-w.turn.may:
					if may {
						running = append(running, w.tenant)
					}
				default:
					kept = append(kept, w)
				}
			}
			waiting = kept
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch tenant := fmt.Sprint(rapid.IntRange(0, 2).Draw(r, "tenant")); rapid.IntRange(0, 3).Draw(r, "step") {
			case 0, 1:
				turn, err := g.join(tenant)
				switch {
				case err == nil && turn == nil:
					running = append(running, tenant)
				case err == nil:
					waiting = append(waiting, waiter{tenant, turn})
				}
			case 2:
				if len(running) > 0 {
					i := rapid.IntRange(0, len(running)-1).Draw(r, "who")
					g.leave(running[i])
					running = append(running[:i], running[i+1:]...)
				}
			case 3:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(r, "who")
					if w := waiting[i]; g.abandon(w.tenant, w.turn) {
						r.Fatal("a waiting query had been let in without being told")
					}
					waiting = append(waiting[:i], waiting[i+1:]...)
				}
			}
			settle()
			gotRunning, gotWaiting := g.count()
			if gotRunning != len(running) || gotWaiting != len(waiting) || gotRunning > cfg.MaxConcurrent ||
				gotWaiting > cfg.MaxQueued {
				r.Fatalf("the gate says %d and %d, it is %d and %d of %+v", gotRunning, gotWaiting, len(running),
					len(waiting), cfg)
			}
			of := map[string]int{}
			for _, tenant := range running {
				if of[tenant]++; cfg.Fair && of[tenant] == cfg.MaxConcurrent && cfg.MaxConcurrent > 1 {
					r.Fatalf("%s has all places of %+v", tenant, cfg)
				}
			}
			for _, w := range waiting {
				if gotRunning < cfg.MaxConcurrent && of[w.tenant] < g.most {
					r.Fatalf("%s waits with %d running, while there is room in %+v", w.tenant, of[w.tenant], cfg)
				}
			}
		}
		for len(running) > 0 {
			g.leave(running[0])
			running = running[1:]
			settle()
		}
		if len(g.lines) > 0 || len(waiting) > 0 {
			r.Fatalf("left over: %v, %v", g.lines, waiting)
		}
	})
}

// TestAbandonedAtTheLastMoment: a query whose turn comes as it gives up hands it on.
func TestAbandonedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxConcurrent: 1, MaxQueued: 1})
	_, _ = g.join("a")
	turn, _ := g.join("b")
	g.leave("a")
	if !g.abandon("b", turn) {
		t.Error("the place is lost")
	}
	ctx, cancel := context.WithCancel(access.NewContext(t.Context(), access.Local()))
	cancel()
	if _, err := g.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := g.enter(t.Context()); err != errNobody {
		t.Errorf("without a tenant: %v", err)
	}
	g.leave("b")
	if running, waiting := g.count(); running+waiting+len(g.lines) != 0 {
		t.Errorf("%d running, %d waiting", running, waiting)
	}
}

func TestQueryRate(t *testing.T) {
	t.Parallel()
	wait := time.Duration(0)
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Admit = func(tenant string) time.Duration {
			if tenant != "default" {
				t.Errorf("asked for %q", tenant)
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
	served(a).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/views", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("nobody got %d", w.Code)
	}
}

// TestNobody: what is mounted without a guard answers nobody, beyond what is open to everybody.
func TestNobody(t *testing.T) {
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
			served(a).ServeHTTP(w, req)
			if (w.Code == http.StatusUnauthorized) == open {
				t.Errorf("%s %s: status %d: %s", method, r.pattern, w.Code, w.Body)
			}
		}
	}
}
