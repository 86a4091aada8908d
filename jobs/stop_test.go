package jobs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/record/recordtest"
)

// TestRequestedRunsEndWithTheScheduler checks that a requested run continues when its client leaves.
// It ends before Run returns, because the process closes the engines after that. Later requests are refused.
func TestRequestedRunsEndWithTheScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := false
		ledger := openLedger(t, &recordtest.Memory{})
		s := scheduler(t, ledger, Job{Name: "work", Run: func(ctx context.Context) (Report, error) {
			running = true
			defer func() { running = false }()
			select {
			case <-ctx.Done():
			case <-time.After(time.Hour):
			}
			return Report{}, ctx.Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		answer := make(chan *httptest.ResponseRecorder, 1)
		go func() { done <- s.Run(ctx) }()
		request := func(client context.Context) {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(client, http.MethodPost, "/v1/jobs/work/runs", nil))
			answer <- w
		}
		client, leave := context.WithCancel(t.Context())
		go request(client)
		synctest.Wait()
		leave()
		synctest.Wait()
		if !running {
			t.Fatal("the run ended when its client left")
		}
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if running || time.Since(began) > 0 {
			t.Errorf("Run ended after %v; the requested run still runs: %v", time.Since(began), running)
		}
		go request(t.Context()) // It comes too late.
		for range 2 {
			w := <-answer
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"shutting_down"`) ||
				w.Header().Get("Retry-After") == "" {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		}
		if _, err := s.Start(t.Context(), "work"); !errors.Is(err, ErrStopped) {
			t.Errorf("start after the end: got %v", err)
		}
	})
}
