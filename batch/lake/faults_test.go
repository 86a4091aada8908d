package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"recount/schemas/record"
)

var errLost = errors.New("connection lost")

// faults is a network and a store having a bad day. What it answers instead of the store
// is always something a real one may answer.
type faults struct {
	next    http.RoundTripper
	mu      sync.Mutex
	rng     *rand.Rand
	zombies sync.WaitGroup
}

// RoundTrip implements http.RoundTripper.
func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	raw := []byte{}
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	again := func(ctx context.Context) (*http.Response, error) {
		c := r.Clone(ctx)
		c.Body = io.NopCloser(bytes.NewReader(raw))
		return f.next.RoundTrip(c)
	}
	f.mu.Lock()
	fate := f.rng.IntN(10)
	status := []int{409, 500, 503, 412}[f.rng.IntN(4)]
	f.mu.Unlock()
	if r.Method != http.MethodPut && status == 412 {
		status = 503 // a read has no condition that could fail
	}
	switch fate {
	case 0: // never sent
		return nil, errLost
	case 1: // refused by what stands before the store
		return answer(r, status), nil
	case 2, 3: // executed, the reply lost
		return nil, discard(again(r.Context()))
	case 4: // executed, then answered by something else
		if err := discard(again(r.Context())); !errors.Is(err, errLost) {
			return nil, err
		}
		return answer(r, status), nil
	case 5: // still under way when the client gives up
		f.zombies.Go(func() { discard(again(context.WithoutCancel(r.Context()))) })
		return nil, errLost
	}
	return again(r.Context())
}

// discard reads a reply away; it returns errLost if there was one.
func discard(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	io.Copy(io.Discard, res.Body)
	return errors.Join(errLost, res.Body.Close())
}

func answer(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(nil)), Request: r}
}

// TestCreateIsNeverWrong is O1: writers race for keys over bad networks. Whatever Create
// says is true of the record that is there in the end; only errors may say nothing.
func TestCreateIsNeverWrong(t *testing.T) {
	t.Parallel()
	cfg := embedded(t)
	cfg.Attempts = 3
	clean := NewCommitLog(open(t, cfg))
	said := 0
	silent := 0
	for seed := range uint64(40) {
		key := fmt.Sprintf("land/e1/p0/%020d", seed)
		results := race(t, cfg, seed, key)
		there, err := clean.Get(t.Context(), key)
		if err != nil && !errors.Is(err, record.ErrNotFound) {
			t.Fatal(err)
		}
		for _, r := range results {
			switch {
			case r.err != nil:
				silent++
				if r.outcome != record.Unknown {
					t.Errorf("seed %d: outcome %v with error %v", seed, r.outcome, r.err)
				}
				continue
			case r.outcome == record.Created && bytes.Equal(there, r.mine):
			case r.outcome == record.Exists && bytes.Equal(there, r.body) && !bytes.Equal(there, r.mine):
			default:
				t.Errorf("seed %d: writer of %q was told %v %q; there is %q", seed, r.mine, r.outcome, r.body, there)
			}
			said++
		}
	}
	if said < silent || silent == 0 {
		t.Errorf("%d outcomes and %d errors: the faults test too much or nothing", said, silent)
	}
}

type result struct {
	mine, body []byte
	outcome    record.Outcome
	err        error
}

func race(t *testing.T, cfg Config, seed uint64, key string) []result {
	results := make([]result, 6)
	inner := newTransport()
	defer inner.CloseIdleConnections()
	var all []*faults
	var wg sync.WaitGroup
	for i := range results {
		f := &faults{next: inner, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		all = append(all, f)
		// Opened by hand: Open would fail over this network.
		resolved, err := cfg.resolve()
		if err != nil {
			t.Fatal(err)
		}
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := newClient(t.Context(), resolved, &wire{next: f, m: m, timeout: resolved.Timeout})
		if err != nil {
			t.Fatal(err)
		}
		log := NewCommitLog(&Store{cfg: resolved, client: client, transport: f})
		wg.Go(func() {
			r := &results[i]
			r.mine = fmt.Appendf(nil, "attempt %d", i)
			r.outcome, r.body, r.err = log.Create(t.Context(), key, r.mine)
		})
	}
	wg.Wait()
	for _, f := range all {
		f.zombies.Wait()
	}
	return results
}

// TestHungStore: a store that takes requests and never answers gives errors, not outcomes
// and not a hang.
func TestHungStore(t *testing.T) {
	t.Parallel()
	cfg := embedded(t)
	hung := false
	cfg = via(t, cfg, func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if !hung {
				return next.RoundTrip(r)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
	})
	s := open(t, cfg)
	hung = true
	s.cfg.Attempts = 2
	short := &wire{next: cfg.Transport, m: newUnregistered(t), timeout: 1}
	client, err := newClient(t.Context(), s.cfg, short)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	if outcome, _, err := NewCommitLog(s).Create(t.Context(), "k", []byte("v")); outcome != record.Unknown ||
		!errors.Is(err, errStalled) {
		t.Errorf("create: %v, %v; want unknown, stalled", outcome, err)
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, errStalled) {
		t.Errorf("get: %v, want stalled", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if outcome, _, err := NewCommitLog(s).Create(ctx, "k", []byte("v")); outcome != record.Unknown || err == nil {
		t.Errorf("create after cancel: %v, %v; want unknown with an error", outcome, err)
	}
}

func newUnregistered(t *testing.T) *metrics {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
