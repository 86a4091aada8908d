package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/deploy/proof/natscluster"
)

// TestReadinessWithoutQuorum stops two of three servers of the log. No role that needs the log is ready then, and all
// are ready again once a second server runs. It is not parallel: a process has one embedded ClickHouse.
func TestReadinessWithoutQuorum(t *testing.T) {
	cluster := natscluster.New(t)
	cluster.Start(0, 1, 2)
	cfg := bareConfig(t)
	cfg.Log.URL = cluster.URL()
	cfg.Log.MaxBytes = 64 << 20
	cfg.Landing.Bytes = 16 << 20
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	becomes(t, s, http.StatusOK, "ready")
	cluster.Stop(1, 2)
	becomes(t, s, http.StatusServiceUnavailable, "log: log is unavailable: partition 0 accepts no events")
	for _, r := range []Roles{Ingest, Speed, Landing, Batch, Speed | Serving} {
		part := &Server{roles: r, engines: s.engines}
		if part.checkLog(t.Context()) == nil {
			t.Errorf("role %v is ready without a log", r.Names())
		}
	}
	if err := (&Server{roles: Serving, engines: s.engines}).checkLog(t.Context()); err != nil {
		t.Errorf("role serving answers from the batch views alone, but is not ready: %v", err)
	}
	cluster.Start(2)
	becomes(t, s, http.StatusOK, "ready")
}

// becomes waits until /readyz gives the status and the words.
func becomes(t *testing.T, s *Server, want int, words string) {
	t.Helper()
	var status int
	var body string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, body = ask(t, s.URL()+"/readyz")
		if status == want && strings.Contains(body, words) {
			return
		}
	}
	t.Fatalf("/readyz: status %d, want %d with %q: %s", status, want, words, body)
}
