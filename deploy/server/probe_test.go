package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recount/deploy/proof/external"
	"recount/deploy/proof/faultproxy"
)

// TestProbeChangesAfterThree plays outcomes of probes. One outcome alone changes nothing, and a probe that hangs is
// bounded.
func TestProbeChangesAfterThree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().UTC()
		refused := errors.New("connection refused")
		var outcome error
		hangs := false
		p := &probe{place: "at host:9000", ping: func(ctx context.Context) error {
			if hangs {
				<-ctx.Done()
				return ctx.Err()
			}
			return outcome
		}}
		var states strings.Builder
		for _, answers := range "..x..xx.xxx.x..x...x" {
			outcome = nil
			if answers == 'x' {
				outcome = refused
			}
			time.Sleep(probeEvery)
			p.ask(t.Context())
			if err := p.check(t.Context()); err == nil {
				states.WriteByte('.')
			} else {
				states.WriteByte('x')
			}
		}
		if got := states.String(); got != "..........xxxxxxxx.." {
			t.Errorf("got the states %s", got)
		}
		hangs = true
		start := time.Now()
		for range probesInARow {
			p.ask(t.Context())
		}
		if took := time.Since(start); took != probesInARow*probeTimeout {
			t.Errorf("three probes that hang take %s", took)
		}
		err := p.check(t.Context())
		want := "at host:9000 has not answered since " + began.Add(20*time.Second).Format(time.RFC3339)
		if err == nil ||
			!strings.Contains(err.Error(), want) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}

// TestReadyNeedsClickHouse cuts the connection to ClickHouse. A process with the role serving says so in /readyz and
// continues by itself, and one that only ingests stays ready. The test is not parallel: a process has one embedded
// ClickHouse.
func TestReadyNeedsClickHouse(t *testing.T) {
	e := external.New(t, t.TempDir())
	e.Start()
	cfg := externalConfig(t, e)
	at, err := url.Parse(e.ClickHouse())
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := faultproxy.Listen(at.Host, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	at.Host = proxy.Addr()
	cfg.ClickHouse.URL = at.String()
	serving, _ := play(t, cfg, AllRoles)
	cfg.DataDir = t.TempDir()
	ingest, _ := play(t, cfg, Ingest)
	waitReady(t, serving, http.StatusOK, "")
	wantMetric(t, serving, "recount_clickhouse_down 0")
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	waitReady(t, serving, http.StatusServiceUnavailable, "clickhouse: the server at "+proxy.Addr()+"/recount has not")
	wantMetric(t, serving, "recount_clickhouse_down 1")
	waitReady(t, ingest, http.StatusOK, "")
}

// wantMetric fails unless /metrics has a line.
func wantMetric(t *testing.T, s *Server, line string) {
	t.Helper()
	if _, body := ask(t, s.URL()+"/metrics"); !strings.Contains(body, "\n"+line+"\n") {
		t.Errorf("/metrics has no line %q", line)
	}
}

// waitReady waits until /readyz answers with a status and a text.
func waitReady(t *testing.T, s *Server, status int, want string) {
	t.Helper()
	var got int
	var body string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got, body = ask(t, s.URL()+"/readyz"); got == status && strings.Contains(body, want) {
			return
		}
	}
	t.Errorf("/readyz: %d %s, want %d with %q", got, body, status, want)
}
