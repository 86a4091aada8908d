package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/jobs/conservation"
	"recount/schemas/record"
)

// bareConfig is the configuration of a server with one partition, on a free port, whose jobs do not run by themselves.
func bareConfig(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Log.Partitions = 1
	cfg.Jobs = jobs.Config{}
	return cfg
}

// run runs a server until the test ends, or until stop is called.
func run(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// ask asks for a resource and returns the status and the body of the answer.
func ask(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// TestReadiness breaks one part after the other and expects /readyz to name it. It is not parallel: a process has one
// embedded ClickHouse.
func TestReadiness(t *testing.T) {
	s, err := Open(t.Context(), bareConfig(t), Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.checks() {
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("check %s of a server that works: %v", c.Name, err)
		}
	}
	s.tally.partitions[0].unreadable = conservation.Unreadable(3, errors.New("damaged"))
	run(t, s)
	status, body := ask(t, s.URL()+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "audit") ||
		!strings.Contains(body, "partition 0 cannot be counted") {
		t.Errorf("with a partition that cannot be counted: status %d, %s", status, body)
	}
	if status, body := ask(t, s.URL()+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz of a process that is not ready: status %d, want 200: %s", status, body)
	}
}

// TestRolesHaveTheirRoutes opens a process with some of the roles and expects only their routes. It is not parallel: a
// process has one embedded ClickHouse.
func TestRolesHaveTheirRoutes(t *testing.T) {
	cfg := bareConfig(t)
	for _, c := range []struct {
		roles        Roles
		events, jobs int // statuses of POST /v1/events and of GET /v1/jobs
	}{
		{Ingest | Serving, http.StatusUnsupportedMediaType, http.StatusNotFound},
		{Batch | Serving, http.StatusNotFound, http.StatusOK},
	} {
		s, err := Open(t.Context(), cfg, Options{Roles: c.roles})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		sent, err := http.Post(s.URL()+"/v1/events", "text/html", nil)
		if err != nil {
			t.Fatal(err)
		}
		sent.Body.Close()
		if sent.StatusCode != c.events {
			t.Errorf("%v: POST /v1/events: status %d, want %d", c.roles.Names(), sent.StatusCode, c.events)
		}
		for path, want := range map[string]int{"/v1/jobs": c.jobs, "/v1/views": http.StatusOK} {
			if got, body := ask(t, s.URL()+path); got != want {
				t.Errorf("%v: GET %s: status %d, want %d: %s", c.roles.Names(), path, got, want, body)
			}
		}
		stop()
	}
}

// TestOpenRefuses opens a server on the data of another configuration, and a second server on the same data. It is not
// parallel: a process has one embedded ClickHouse.
func TestOpenRefuses(t *testing.T) {
	cfg := bareConfig(t)
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), cfg, Options{Roles: AllRoles}); err == nil ||
		!strings.Contains(err.Error(), "choose another folder with --data-dir") {
		t.Errorf("a second server on the folder: got %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	cfg.Bucket /= 2
	if _, err := Open(t.Context(), cfg, Options{Roles: AllRoles}); err == nil ||
		!strings.Contains(err.Error(), "bucket") {
		t.Errorf("another bucket than that of the data: got %v", err)
	}
}

// TestRunDrainsRequests ends a server while it answers a request. The request is answered, new connections are
// refused, and Run returns after the answer.
func TestRunDrainsRequests(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	marks, err := janitor.OpenMarks(t.TempDir(), emptyLog{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: DefaultConfig(), roles: AllRoles, logger: logger, registry: prometheus.NewRegistry(),
		marks: marks}
	reached := make(chan struct{})
	release := make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		<-release
		ok(w, r)
	})
	if err := s.openDoor("public", "127.0.0.1:0", slow, TLSConfig{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	addr := s.doors[0].listener.Addr().String()
	conn := dial(t, addr, get)
	<-reached
	cancel()
	for refused := false; !refused; {
		c, err := net.Dial("tcp", addr)
		if refused = err != nil; !refused {
			_ = c.Close()
			time.Sleep(time.Millisecond)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("Run returned %v before the request was answered", err)
	default:
	}
	close(release)
	if status, body := answerOn(t, conn); status != http.StatusOK || body != "ok" {
		t.Errorf("the open request: status %d, %q", status, body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTallyForgetsPlacesNotSums acknowledges more messages than a partition remembers one by one. The sums stay exact,
// and forget drops only what the log no longer has.
func TestTallyForgetsPlacesNotSums(t *testing.T) {
	t.Parallel()
	a := &tally{partitions: []promises{{tenants: map[string]int64{}}}}
	const messages = maxRecent + 10
	for seq := range uint64(messages) {
		a.acknowledged(0, seq, "acme", 2)
	}
	got := a.acknowledgedIn(0)
	if got.Total != 2*messages || got.Tenants["acme"] != 2*messages || a.total(0) != 2*messages {
		t.Errorf("sums: got %d and %d, want %d", got.Total, got.Tenants["acme"], 2*messages)
	}
	if n := len(got.Recent); n > maxRecent || n < maxRecent/2 || got.Recent[n-1].Seq != messages-1 {
		t.Errorf("%d messages are remembered, want at most %d and the last one", n, maxRecent)
	}
	a.giveUp(0, []*record.Commit{{Start: messages - 5, End: messages - 3}})
	if got := a.acknowledgedIn(0); len(got.GivenUp) != 2 || got.Total != 2*messages {
		t.Errorf("after a hole: %v are given up of a total of %d, want 2 messages of %d", got.GivenUp, got.Total,
			2*messages)
	}
	a.forget(0, messages-3)
	if got := a.acknowledgedIn(0); len(got.Recent) != 3 || got.Total != 2*messages {
		t.Errorf("after a trim: %d messages and a total of %d, want 3 and %d", len(got.Recent), got.Total, 2*messages)
	}
}
