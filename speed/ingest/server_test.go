package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"recount/schemas/problem"
	"recount/speed/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConcurrentRequests sends many requests at once. The log must hold exactly the accepted
// events, each at the place that its receipt names.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	const clients, requests, events, partitions = 8, 10, 40, 4
	log := &memoryLog{}
	cfg := testConfig()
	cfg.GroupEvents = 25 // Less than the events of a request in a partition, so a request has several chunks.
	s := run(t, cfg, partitions, log)
	var mu sync.Mutex
	acked := map[Place]int{}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for r := range requests {
				body := ""
				for e := range events {
					body += flight((c*requests+r)*events+e) + "\n" + `{"type":"none"}` + "\n"
				}
				got := post(t, s, body, "Content-Type", ndjson)
				places, err := DecodeReceipt(got.Receipt, "")
				if err != nil || got.Accepted != events || len(got.Rejected) != events {
					t.Errorf("got %d accepted, %d rejected, receipt: %v", got.Accepted, len(got.Rejected), err)
				}
				mu.Lock()
				for _, p := range places {
					for i := range p.Count {
						acked[Place{Partition: p.Partition, Seq: p.Seq, First: p.First + i, Count: 1}]++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	stored := log.events(t, partitions)
	if len(stored) != clients*requests*events || len(acked) != len(stored) {
		t.Fatalf("%d events in the log and %d places in receipts, want %d", len(stored), len(acked),
			clients*requests*events)
	}
	for id, e := range stored {
		if acked[e.Place] != 1 {
			t.Errorf("event %s at %+v: acknowledged %d times, want once", id, e.Place, acked[e.Place])
		}
	}
}

// TestAckOnlyAfterTheLog delays the log and checks that no request is answered before it (L1).
func TestAckOnlyAfterTheLog(t *testing.T) {
	t.Parallel()
	reached := make(chan int, 10)
	release := make(chan struct{})
	log := &memoryLog{hook: func(p int) error {
		reached <- p
		<-release
		return nil
	}}
	s := run(t, testConfig(), 2, log)
	var answered atomic.Bool
	done := make(chan response)
	go func() {
		r := post(t, s, flight(1)+"\n"+flight(2)+"\n"+flight(3)+"\n"+flight(4), "Content-Type", ndjson)
		answered.Store(true)
		done <- r
	}()
	<-reached
	<-reached
	if answered.Load() {
		t.Error("the request was answered before the log confirmed its events")
	}
	close(release)
	if r := <-done; r.Status != 200 || r.Accepted != 4 {
		t.Errorf("got %+v", r)
	}
}

// TestOverloadSheds blocks the log and floods the server. The server answers 429, its queue stays
// within the limit, and once the log works again it stores every event that it acknowledges.
func TestOverloadSheds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	log := &memoryLog{hook: func(int) error {
		<-release
		return nil
	}}
	cfg := testConfig()
	cfg.GroupBytes = 64 << 10
	cfg.EventBytes = 1 << 10
	cfg.QueueBytes = 2 * (cfg.GroupBytes + cfg.EventBytes)
	s := run(t, cfg, 1, log)
	const clients = 64
	results := make(chan response, clients)
	for i := range clients {
		go func() {
			body := ""
			for e := range 100 {
				body += flight(i*100+e) + "\n"
			}
			results <- post(t, s, body, "Content-Type", ndjson)
		}()
	}
	shed := 0
	stored := 0
	for range clients {
		if held := s.committers[0].queue.held(); held > cfg.QueueBytes {
			t.Errorf("the queue holds %d bytes, and its limit is %d", held, cfg.QueueBytes)
		}
		if shed == 0 {
			r := <-results // The log has stored nothing yet, so the first answer is a refusal.
			shed++
			if r.Status != 429 || r.Code != string(problem.Overloaded) || r.Header.Get("Retry-After") != "1" {
				t.Fatalf("got %+v", r)
			}
			close(release)
			continue
		}
		if r := <-results; r.Status == 200 {
			stored += r.Accepted
		}
	}
	if got := len(log.events(t, 1)); got != stored || stored == 0 {
		t.Errorf("%d events in the log, and %d acknowledged", got, stored)
	}
}

// TestMemoryBudgetSheds uses up the memory. Requests are refused until it is released.
func TestMemoryBudgetSheds(t *testing.T) {
	t.Parallel()
	s := run(t, testConfig(), 1, &memoryLog{})
	s.memory.reserve(s.memory.held("default"), s.cfg.Memory-baseCost-100, false)
	if r := post(t, s, flight(1), "Content-Type", plain); r.Status != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("got %+v", r)
	}
	s.memory.release(s.memory.held("default"), s.cfg.Memory-baseCost-100)
	if r := post(t, s, flight(1), "Content-Type", plain); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

// TestFailedPartition lets the log of one partition fail. The answer names each event that failed (L2).
func TestFailedPartition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   problem.Code
	}{
		{fmt.Errorf("append: %w", eventlog.ErrUnavailable), 503, problem.LogUnavailable},
		{errors.New("anything else"), 503, problem.LogUnavailable},
		{fmt.Errorf("append: %w", eventlog.ErrFull), 503, problem.LogFull},
		{fmt.Errorf("append: %w", eventlog.ErrTooLarge), 200, problem.EventTooLarge},
	} {
		log := &memoryLog{hook: func(p int) error {
			if p == 1 {
				return c.err
			}
			return nil
		}}
		s := run(t, testConfig(), 2, log)
		body := `{"type":"none"}`
		for i := range 20 {
			body += "\n" + flight(i)
		}
		r := post(t, s, body, "Content-Type", ndjson)
		stored := log.events(t, 2)
		if r.Status != c.status || r.Accepted != len(stored) || r.Accepted+len(r.Rejected) != 21 || r.Receipt == "" {
			t.Errorf("%v: got %d %s with %d accepted and %d stored", c.err, r.Status, r.Code, r.Accepted, len(stored))
		}
		if c.status == 503 && (r.Code != string(c.code) || r.Header.Get("Retry-After") == "") {
			t.Errorf("%v: got %s", c.err, r.Code)
		}
		last := -1
		for _, e := range r.Rejected {
			if _, ok := stored[e.ID]; ok || e.Index <= last || e.Index > 0 &&
				(problem.Code(e.Code) != c.code || e.ID != fmt.Sprintf("f-%09d", e.Index-1)) {
				t.Errorf("%v: got the rejection %+v", c.err, e)
			}
			last = e.Index
		}
	}
}

// TestRunDrains stops the server while a request waits for the log. The request is answered, and
// later ones get 503.
func TestRunDrains(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	release := make(chan struct{})
	log := &memoryLog{hook: func(int) error {
		reached <- struct{}{}
		<-release
		return nil
	}}
	s, err := New(testConfig(), testCatalog(), 1, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	answered := make(chan response)
	go func() { stopped <- s.Run(ctx) }()
	go func() { answered <- post(t, s, flight(1), "Content-Type", plain) }()
	<-reached
	cancel()
	close(release)
	if r := <-answered; r.Status != 200 || r.Accepted != 1 {
		t.Errorf("got %+v", r)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if r := post(t, s, flight(2), "Content-Type", plain); r.Status != 503 || r.Code != string(problem.ShuttingDown) {
		t.Errorf("after Run returned: got %+v", r)
	}
}

// TestOverTheNetwork runs the handler in an HTTP server, with connections that are used again.
func TestOverTheNetwork(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	s := run(t, cfg, 2, &memoryLog{})
	srv := httptest.NewServer(handler(s))
	defer srv.Close()
	for range 3 {
		r, err := srv.Client().Post(srv.URL, ndjson, strings.NewReader(flights(100)))
		if err != nil || r.StatusCode != 200 {
			t.Fatal(r, err)
		}
		_ = r.Body.Close()
	}
	r, err := srv.Client().Get(srv.URL)
	if err != nil || r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "POST" {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
}

func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Past = time.Hour
	s := run(t, cfg, 1, &memoryLog{})
	r := post(t, s, `[{"id":"a","type":"all","time":"2026-11-23T10:59:59.999999Z"},`+
		`{"id":"b","type":"all","time":"2026-11-23T11:00:00Z"}]`, "Content-Type", plain)
	if r.Accepted != 1 || r.codes() != "0:time_too_old " {
		t.Errorf("got %+v", r)
	}
}

func TestMetricsAndConfig(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	if _, err := New(DefaultConfig(), testCatalog(), 2, noLog{},
		Options{Registerer: reg, Epochs: []uint32{1, 2}}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(DefaultConfig(), testCatalog(), 2, noLog{}, Options{Registerer: reg}); err == nil {
		t.Error("registering the metrics twice: no error")
	}
	if _, err := New(Config{}, testCatalog(), 2, noLog{}, Options{}); err == nil {
		t.Error("empty configuration: no error")
	}
	if _, err := New(DefaultConfig(), testCatalog(), 2, noLog{}, Options{Epochs: []uint32{1}}); err == nil {
		t.Error("one epoch for two partitions: no error")
	}
}
