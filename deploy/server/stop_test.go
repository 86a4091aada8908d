package server

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/server/janitor"
	"recount/jobs"
)

// emptyLog is a log without partitions.
type emptyLog struct{ janitor.Log }

func (emptyLog) Partitions() int { return 0 }

// TestJobsEndBeforeRequestsDrain ends the process while a request waits for a job. The request has to
// be answered at once: the drain of requests would wait for it.
func TestJobsEndBeforeRequestsDrain(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	marks, err := janitor.OpenMarks(t.TempDir(), emptyLog{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := jobs.OpenLedger(t.Context(), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	scheduler, err := jobs.NewScheduler([]jobs.Job{{Name: "long", Run: func(ctx context.Context) (jobs.Report, error) {
		close(started)
		<-ctx.Done()
		return jobs.Report{}, ctx.Err()
	}}}, ledger, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: DefaultConfig(), roles: AllRoles, logger: logger, registry: prometheus.NewRegistry(),
		marks: marks, scheduler: scheduler}
	if err := s.openDoor("public", "127.0.0.1:0", scheduler.Handler(), TLSConfig{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	status := make(chan int, 1)
	go func() { ended <- s.Run(ctx) }()
	go func() {
		resp, err := http.Post(s.URL()+"/v1/jobs/long/runs", "", nil)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-started
	began := time.Now()
	cancel()
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("the request was answered with status %d, want 503", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
