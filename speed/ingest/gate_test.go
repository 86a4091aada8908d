package ingest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"time"

	"recount/schemas/access"
)

// TestGateBoundsTheWait takes every place and expects the next request to be refused, and the
// one after the places are free to be let in.
func TestGateBoundsTheWait(t *testing.T) {
	t.Parallel()
	g := newGate(5 * time.Millisecond)
	if g.busy() {
		t.Error("busy before the first request")
	}
	places := 0
	for g.slots.TryAcquire(1) {
		places++
	}
	if f := g.enter(t.Context()); f == nil || f.status != http.StatusTooManyRequests {
		t.Errorf("got %v, want 429", f)
	}
	if g.came.Load() == 0 {
		t.Error("the request was not noted")
	}
	for range places {
		g.leave()
	}
	if f := g.enter(t.Context()); f != nil || g.waiting.Load() != 0 {
		t.Errorf("got %v with %d waiting, want to be let in", f, g.waiting.Load())
	}
}

// TestRefusedBeforeTheBodyIsRead puts the server behind, once at the gate and once in every
// queue: newcomers are told 429 with Retry-After and nothing of them is read.
func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]func(*Server){
		"gate": func(s *Server) {
			s.gate.waiting.Store(1)
			s.gate.latest.Store(int64(s.gate.limit))
		},
		"log": func(s *Server) {
			for _, c := range s.committers {
				c.queue.chunks = []*chunk{{since: time.Now().Add(-time.Hour)}}
			}
		},
	} {
		s, err := New(testConfig(), testCatalog(), 2, &memoryLog{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		behind(s)
		req := httptest.NewRequestWithContext(access.NewContext(t.Context(), access.Local()), http.MethodPost,
			"/v1/events", iotest.ErrReader(http.ErrBodyReadAfterClose))
		req.Header.Set("Content-Type", "application/x-ndjson")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		s.committers[0].queue.chunks = nil // One partition that keeps up is reason enough to look at the events.
		if name == "log" && s.shedding() {
			t.Error("refused while a partition keeps up")
		}
	}
}
