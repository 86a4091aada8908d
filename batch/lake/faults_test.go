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

// faults is a transport that fails as a network and a store may fail. Each answer that it gives instead of
// the store is one that a real store may give.
type faults struct {
	next    http.RoundTripper
	mu      sync.Mutex
	rng     *rand.Rand
	zombies sync.WaitGroup // requests that are still under way after their client has given up
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
	execute := func(ctx context.Context) (*http.Response, error) {
		c := r.Clone(ctx)
		c.Body = io.NopCloser(bytes.NewReader(raw))
		return f.next.RoundTrip(c)
	}
	f.mu.Lock()
	fate := f.rng.IntN(10)
	status := []int{409, 500, 503, 412}[f.rng.IntN(4)]
	f.mu.Unlock()
	if r.Method != http.MethodPut && status == 412 {
		status = 503 // A read has no condition that could fail.
	}
	switch fate {
	case 0: // The request is never sent.
		return nil, errLost
	case 1: // A proxy before the store refuses it.
		return answer(r, status), nil
	case 2, 3: // It is executed, and the reply is lost.
		return nil, discard(execute(r.Context()))
	case 4: // It is executed, and a proxy answers.
		if err := discard(execute(r.Context())); !errors.Is(err, errLost) {
			return nil, err
		}
		return answer(r, status), nil
	case 5: // It is still under way when the client gives up.
		f.zombies.Go(func() { discard(execute(context.WithoutCancel(r.Context()))) })
		return nil, errLost
	}
	return execute(r.Context())
}

// discard reads a reply and drops it. It returns errLost if there was a reply.
func discard(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	io.Copy(io.Discard, res.Body)
	return errors.Join(errLost, res.Body.Close())
}

// answer returns an empty answer with the status.
func answer(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(nil)), Request: r}
}

// TestCreateIsNeverWrong is O1: writers race for keys over bad networks. Each outcome of Create is true of
// the record that is there in the end. Only an error may say nothing.
func TestCreateIsNeverWrong(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	cfg.Attempts = 3
	reader := NewCommitLog(openStore(t, cfg))
	outcomes := 0
	unknown := 0
	for seed := range uint64(40) {
		key := fmt.Sprintf("land/e1/p0/%020d", seed)
		results := race(t, cfg, seed, key)
		there, err := reader.Get(t.Context(), key)
		if err != nil && !errors.Is(err, record.ErrNotFound) {
			t.Fatal(err)
		}
		for _, r := range results {
			switch {
			case r.err != nil:
				unknown++
				if r.outcome != record.Unknown {
					t.Errorf("seed %d: outcome %v with error %v", seed, r.outcome, r.err)
				}
				continue
			case r.outcome == record.Created && bytes.Equal(there, r.mine):
			case r.outcome == record.Exists && bytes.Equal(there, r.body) && !bytes.Equal(there, r.mine):
			default:
				t.Errorf("seed %d: the writer of %q got %v %q; there is %q", seed, r.mine, r.outcome, r.body, there)
			}
			outcomes++
		}
	}
	if outcomes < unknown || unknown == 0 {
		t.Errorf("%d outcomes and %d errors: there are too many faults or none", outcomes, unknown)
	}
}

// result is what Create returned to one writer.
type result struct {
	mine, body []byte
	outcome    record.Outcome
	err        error
}

// race runs six writers of a key, each over its own faults.
func race(t *testing.T, cfg Config, seed uint64, key string) []result {
	results := make([]result, 6)
	inner := newTransport()
	defer inner.CloseIdleConnections()
	var all []*faults
	var wg sync.WaitGroup
	for i := range results {
		f := &faults{next: inner, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		all = append(all, f)
		// Open would fail over this network, so the store is made without it.
		resolved, err := cfg.resolve()
		if err != nil {
			t.Fatal(err)
		}
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := newClient(t.Context(), resolved, &wire{next: f, metrics: m, timeout: resolved.Timeout})
		if err != nil {
			t.Fatal(err)
		}
		records := NewCommitLog(&Store{cfg: resolved, client: client, transport: f})
		wg.Go(func() {
			r := &results[i]
			r.mine = fmt.Appendf(nil, "attempt %d", i)
			r.outcome, r.body, r.err = records.Create(t.Context(), key, r.mine)
		})
	}
	wg.Wait()
	for _, f := range all {
		f.zombies.Wait()
	}
	return results
}

// TestHungStore: a store that accepts requests and never answers causes errors in time, and no outcomes.
func TestHungStore(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	hung := false
	cfg = withTransport(t, cfg, func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if !hung {
				return next.RoundTrip(r)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
	})
	s := openStore(t, cfg)
	hung = true
	s.cfg.Attempts = 2
	short := &wire{next: cfg.Transport, metrics: newUnregistered(t), timeout: 1}
	client, err := newClient(t.Context(), s.cfg, short)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	if outcome, _, err := NewCommitLog(s).Create(t.Context(), "k", []byte("v")); outcome != record.Unknown ||
		!errors.Is(err, errStalled) {
		t.Errorf("create: %v, %v; want Unknown and errStalled", outcome, err)
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, errStalled) {
		t.Errorf("get: %v, want errStalled", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if outcome, _, err := NewCommitLog(s).Create(ctx, "k", []byte("v")); outcome != record.Unknown || err == nil {
		t.Errorf("create after cancel: %v, %v; want Unknown with an error", outcome, err)
	}
}

// newUnregistered returns metrics without a registry.
func newUnregistered(t *testing.T) *metrics {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
