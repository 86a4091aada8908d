package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/problem"
)

// store is a server that keeps the ids of events and rejects ids that begin with bad. Its functions decide how a
// request fails. Each may be nil, and returns nil for a request that does not fail.
type store struct {
	fail     func(events int) http.HandlerFunc // fail is called before the events are stored.
	failLate func() http.HandlerFunc           // failLate is called after the events are stored.

	mu       sync.Mutex
	ids      map[string]int // ids counts how often each id arrived.
	requests []int          // requests has the number of events of each acknowledged request.
	times    []time.Time
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ids []string
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var e struct{ ID string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			panic(err)
		}
		ids = append(ids, e.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if h := s.fail(len(ids)); h != nil {
			h(w, r)
			return
		}
	}
	rejected := []Rejection{}
	for i, id := range ids {
		if strings.HasPrefix(id, "bad") {
			rejected = append(rejected, Rejection{Index: i, ID: id, Code: problem.UnknownType, Message: "m"})
			continue
		}
		if s.ids == nil {
			s.ids = map[string]int{}
		}
		s.ids[id]++
	}
	if s.failLate != nil {
		if h := s.failLate(); h != nil {
			h(w, r)
			return
		}
	}
	s.requests = append(s.requests, len(ids))
	s.times = append(s.times, time.Now())
	_ = json.NewEncoder(w).Encode(map[string]any{"accepted": len(ids) - len(rejected), "rejected": rejected,
		"receipt": fmt.Sprint("r", len(s.requests))})
}

// ledger keeps outcomes by event id. A second outcome for the same id fails the test.
type ledger struct {
	t        *testing.T
	mu       sync.Mutex
	outcomes map[string]Outcome
}

func (l *ledger) done(o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.outcomes[o.Event.ID]; ok {
		l.t.Errorf("event %s has a second outcome: %+v", o.Event.ID, o)
	}
	l.outcomes[o.Event.ID] = o
}

// newBatcher returns a batcher whose server is s, and the ledger of its outcomes.
func newBatcher(t *testing.T, s http.Handler, change func(*Config, *BatcherConfig)) (*Batcher, *ledger) {
	t.Helper()
	l := &ledger{t: t, outcomes: map[string]Outcome{}}
	cfg := BatcherConfig{Done: l.done}
	c := newClient(t, s, func(c *Config) {
		if change != nil {
			change(c, &cfg)
		}
	})
	return c.NewBatcher(cfg), l
}

// add adds events with the ids.
func add(t *testing.T, b *Batcher, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Add(t.Context(), Event{ID: id, Type: "hit"}); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered returns n different ids.
func numbered(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("e%06d", i))
	}
	return ids
}

// TestBatcherLosesNothing sends from several goroutines to a server that fails in every way.
// After Close each event has exactly one outcome, and it agrees with the store.
func TestBatcherLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		s := &store{}
		s.fail = func(int) http.HandlerFunc {
			return [...]http.HandlerFunc{nil, hangUp, answer(429, "", "Retry-After", "1"), answer(500, ""),
				answer(200, "{"), nil, nil, nil}[rng.IntN(8)]
		}
		s.failLate = func() http.HandlerFunc {
			return [...]http.HandlerFunc{nil, hangUp, answer(502, ""), nil, nil}[rng.IntN(5)]
		}
		b, l := newBatcher(t, s, func(c *Config, cfg *BatcherConfig) {
			c.Breaker = Breaker{Failures: 3, Delay: time.Minute}
			cfg.Events = 50
			cfg.Bytes = 3000
			cfg.QueueBytes = 10_000
			cfg.InFlight = 3
		})
		var wg sync.WaitGroup
		const adders, each = 4, 500
		for a := range adders {
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%s%d-%d", []string{"", "bad"}[i%10/9], a, i)
					if err := b.Add(t.Context(), Event{ID: id, Type: "hit"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if len(l.outcomes) != adders*each {
			t.Errorf("got %d outcomes of %d events", len(l.outcomes), adders*each)
		}
		for id, o := range l.outcomes {
			bad := strings.HasPrefix(id, "bad")
			if o.Err != nil || bad != (o.Rejection != nil) || bad == (s.ids[id] > 0) || bad == (o.Receipt != "") {
				t.Errorf("event %s arrived %d times: %+v", id, s.ids[id], o)
			}
		}
	})
}

// TestBatcherReportsWhatItCouldNotSend checks that Close gives up only the events that are not acknowledged when its
// context ends.
func TestBatcherReportsWhatItCouldNotSend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		b, l := newBatcher(t, s, func(_ *Config, cfg *BatcherConfig) { cfg.Events = 10 })
		add(t, b, numbered(15)...)
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.fail = func(int) http.HandlerFunc { return hangUp }
		for i := range 25 {
			add(t, b, fmt.Sprintf("down%d", i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := b.Close(ctx)
		if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "25 events") ||
			time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		for id, o := range l.outcomes {
			if strings.HasPrefix(id, "down") != (o.Err != nil) {
				t.Errorf("%s: %+v", id, o)
			}
		}
		if len(l.outcomes) != 40 || len(s.ids) != 15 {
			t.Errorf("%d outcomes, %d stored", len(l.outcomes), len(s.ids))
		}
		if err := b.Add(t.Context(), Event{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Add after Close: %v", err)
		}
		if err := b.Flush(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Flush after Close: %v", err)
		}
	})
}

// TestBatcherWithFewAttempts checks that the next Flush reports events that were not acknowledged, and reports them
// once. After a partial answer these are only the events that the answer names.
func TestBatcherWithFewAttempts(t *testing.T) {
	t.Parallel()
	s := &store{fail: func(int) http.HandlerFunc {
		return answer(503, `{"code":"log_unavailable","accepted":1,"receipt":"r","rejected":[`+
			`{"index":0,"id":"a","code":"log_unavailable"},{"index":2,"id":"c","code":"missing_type"}]}`)
	}}
	b, l := newBatcher(t, s, func(c *Config, _ *BatcherConfig) { c.Retry.Attempts = 2 })
	add(t, b, "a", "b", "c")
	var p *Problem
	if err := b.Flush(t.Context()); !errors.As(err, &p) || p.Code != problem.LogUnavailable ||
		!strings.Contains(err.Error(), "1 events were not") {
		t.Error(err)
	}
	if l.outcomes["a"].Err == nil || l.outcomes["b"].Err != nil || l.outcomes["b"].Receipt != "r" ||
		l.outcomes["c"].Rejection == nil {
		t.Errorf("%+v", l.outcomes)
	}
	if err := errors.Join(b.Flush(t.Context()), b.Close(t.Context())); err != nil {
		t.Errorf("the failure is reported twice: %v", err)
	}
}

// TestBatcherBounds checks that a request has at most Events events and Bytes bytes, and an event waits at
// most Delay.
func TestBatcherBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		b, _ := newBatcher(t, s, func(_ *Config, cfg *BatcherConfig) {
			cfg.Events = 4
			cfg.Bytes = 1000
			cfg.Delay = time.Second
			cfg.InFlight = 1
		})
		began := time.Now()
		add(t, b, numbered(9)...)
		time.Sleep(2 * time.Second)
		add(t, b, "next", strings.Repeat("x", 500), strings.Repeat("y", 2000))
		time.Sleep(2 * time.Second)
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := map[time.Duration][]int{0: {4, 4}, time.Second: {1}, 2 * time.Second: {2, 1}}
		got := map[time.Duration][]int{}
		for i, n := range s.requests {
			got[s.times[i].Sub(began)] = append(got[s.times[i].Sub(began)], n)
		}
		if !maps.EqualFunc(want, got, slices.Equal) {
			t.Errorf("requests %v, want %v", got, want)
		}
	})
}

// TestBatcherQueueIsBounded checks that Add waits while the queue is full, until its context ends.
func TestBatcherQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []http.HandlerFunc{silent}}
		b, l := newBatcher(t, s, func(c *Config, cfg *BatcherConfig) {
			c.Timeout = 24 * time.Hour
			cfg.Events = 1
			cfg.QueueBytes = 1000
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		var err error
		for ; err == nil; n++ {
			err = b.Add(ctx, Event{ID: fmt.Sprint(n), Type: "hit"})
		}
		if !errors.Is(err, context.DeadlineExceeded) || n < 8 || n > 20 {
			t.Errorf("%d events: %v", n, err)
		}
		if err := b.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := b.Close(ctx); err == nil || len(l.outcomes) != n-1 {
			t.Errorf("%d outcomes of %d events: %v", len(l.outcomes), n-1, err)
		}
	})
}

// TestBatcherHalves checks that events which are too large for one request are sent in two.
func TestBatcherHalves(t *testing.T) {
	t.Parallel()
	s := &store{fail: func(events int) http.HandlerFunc {
		if events > 3 {
			return answer(413, `{"code":"too_many_events"}`)
		}
		return nil
	}}
	b, l := newBatcher(t, s, nil)
	add(t, b, numbered(10)...)
	if err := b.Close(t.Context()); err != nil || len(l.outcomes) != 10 || len(s.ids) != 10 {
		t.Errorf("%d outcomes, %d stored: %v", len(l.outcomes), len(s.ids), err)
	}
}
