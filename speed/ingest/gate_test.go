package ingest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"time"

	"recount/schemas/access"
)

// TestGateBoundsTheWait uses every slot. The next request is refused, and once the slots are
// free again a request gets in.
func TestGateBoundsTheWait(t *testing.T) {
	t.Parallel()
	g := newGate(5 * time.Millisecond)
	if g.busy() {
		t.Error("the gate is busy before the first request")
	}
	slots := 0
	for g.slots.TryAcquire(1) {
		slots++
	}
	if p := g.enter(t.Context()); p == nil || p.Status != http.StatusTooManyRequests {
		t.Errorf("got %v, want 429", p)
	}
	if g.lastArrival.Load() == 0 {
		t.Error("the gate does not know that a request arrived")
	}
	for range slots {
		g.leave()
	}
	if p := g.enter(t.Context()); p != nil || g.waiting.Load() != 0 {
		t.Errorf("got %v with %d requests waiting, want the request to get in", p, g.waiting.Load())
	}
}

// TestRefusedBeforeTheBodyIsRead makes the gate lag, or every queue. A new request is answered
// 429 with Retry-After, and its body is not read.
func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	for name, makeLag := range map[string]func(*Server){
		"gate": func(s *Server) {
			s.gate.waiting.Store(1)
			s.gate.lastWait.Store(int64(s.gate.limit))
		},
		"log": func(s *Server) {
			for _, c := range s.committers {
				c.queue.chunks = []*chunk{{queuedAt: time.Now().Add(-time.Hour)}}
			}
		},
	} {
		s, err := New(testConfig(), testCatalog(), 2, &memoryLog{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		makeLag(s)
		req := httptest.NewRequestWithContext(access.NewContext(t.Context(), access.Local()), http.MethodPost,
			"/v1/events", iotest.ErrReader(http.ErrBodyReadAfterClose))
		req.Header.Set("Content-Type", "application/x-ndjson")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		s.committers[0].queue.chunks = nil // The events may be for this partition, which keeps up.
		if name == "log" && s.shedding() {
			t.Error("requests are refused although one partition keeps up")
		}
	}
}
