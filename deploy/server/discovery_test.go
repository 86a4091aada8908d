package server

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

	"github.com/google/go-cmp/cmp"

	"recount/deploy/server/generations"
	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
	"recount/speed/ingest"
)

// confirmingLog confirms every message, and counts them.
type confirmingLog struct{ messages atomic.Uint64 }

func (l *confirmingLog) Append(context.Context, int, []byte, string) (uint64, error) {
	return l.messages.Add(1), nil
}

// discoverer is the ingest of a process over a store that it shares with others.
type discoverer struct {
	chain *generations.Chain
	*ingest.Server
}

func newDiscoverer(t *testing.T, records record.CommitLog) discoverer {
	t.Helper()
	chain, err := generations.Open(t.Context(), generations.Config{Bucket: time.Hour}, records)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ingest.DefaultConfig()
	cfg.Discovery.On = true
	cfg.Discovery.Interval = 100 * time.Millisecond
	s, err := ingest.New(cfg, chain, 1, &confirmingLog{}, ingest.Options{Look: chain.Look,
		Propose: (&Server{generations: chain}).propose})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return discoverer{chain, s}
}

func (d discoverer) send(body string) (status int, answer string) {
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-ndjson")
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Local())))
	return w.Code, w.Body.String()
}

// TestDiscoveringProcesses: processes that meet the same new types at once converge. Each type is declared by one of
// them, no event is refused, and a type that another process has declared is looked for before one is.
func TestDiscoveringProcesses(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	processes := []discoverer{newDiscoverer(t, records), newDiscoverer(t, records), newDiscoverer(t, records)}
	const types = 6
	var declared sync.Map
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			name := fmt.Sprintf("type%d", i%types)
			status, answer := processes[i%len(processes)].send(fmt.Sprintf(
				`{"id":"%d","type":"%s","data":{"a":%d,"member%d":"x"}}`, i, name, i, i%3))
			if status != http.StatusOK {
				t.Errorf("event %d: status %d, %s", i, status, answer)
			}
			if strings.Contains(answer, `"discovered"`) {
				if _, twice := declared.LoadOrStore(name, true); twice {
					t.Errorf("two processes say that they have declared %s", name)
				}
			}
		})
	}
	wg.Wait()
	for i := range types {
		if _, ok := declared.Load(fmt.Sprintf("type%d", i)); !ok {
			t.Errorf("no process says that it has declared type%d", i)
		}
	}
	late := newDiscoverer(t, records)
	if n := late.chain.Current().N; n > 2*types {
		t.Errorf("%d generations for %d types", n, types)
	}
	status, answer := late.send(`{"id":"late","type":"type0","data":{"a":1}}`)
	if status != http.StatusOK || strings.Contains(answer, "discovered") {
		t.Errorf("a process that came later: status %d, %s", status, answer)
	}
	for _, p := range append(processes, late) {
		if err := p.chain.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := p.chain.Catalog()
		for i := range types {
			name := fmt.Sprintf("type%d", i)
			want := []catalog.Field{{Name: "a", Type: catalog.Int64}, {Name: fmt.Sprintf("member%d", i%3),
				Type: catalog.String}}
			diff := cmp.Diff(want, c.Events[name].Fields)
			if diff != "" || c.Views[name] == nil || !c.Discovered[name] {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// TestDiscoveredElsewhere: a process that learns of an event type when its first events arrive there also declares what
// only these have.
func TestDiscoveredElsewhere(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	first := newDiscoverer(t, records)
	second := newDiscoverer(t, records)
	first.send(`{"id":"1","type":"hit","data":{"a":1}}`)
	for id := range 2 {
		body := fmt.Sprintf(`{"id":"2-%d","type":"hit","data":{"a":1,"b":"x"}}`, id)
		if status, answer := second.send(body); status != http.StatusOK || strings.Contains(answer, "discovered") {
			t.Fatalf("status %d, %s", status, answer)
		}
	}
	for end := time.Now().Add(10 * time.Second); len(second.chain.Catalog().Events["hit"].Fields) != 2; {
		if time.Now().After(end) {
			t.Fatalf("the fields are %v", second.chain.Catalog().Events["hit"].Fields)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// unreachable is a store that may not answer. A write of it may be done all the same.
type unreachable struct {
	recordtest.Memory
	gets, creates, does atomic.Bool // the first two: fail
}

var errDown = errors.New("the store does not answer")

func (u *unreachable) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	if !u.creates.Load() {
		return u.Memory.Create(ctx, key, body)
	}
	if u.does.Load() {
		_, _, _ = u.Memory.Create(ctx, key, body)
	}
	return record.Unknown, nil, errDown
}

func (u *unreachable) Get(ctx context.Context, key string) ([]byte, error) {
	if u.gets.Load() {
		return nil, errDown
	}
	return u.Memory.Get(ctx, key)
}

// TestDiscoverWithoutStore: while the store does not answer, a request with a new type is refused as a whole, and
// events of known types are accepted. A write that was done without an answer is read back (C5).
func TestDiscoverWithoutStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gets, does bool
		status     int
	}{
		"nothing answers":         {true, false, http.StatusServiceUnavailable},
		"no write is done":        {false, false, http.StatusServiceUnavailable},
		"writes are not answered": {false, true, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := &unreachable{}
			p := newDiscoverer(t, records)
			if status, answer := p.send(`{"id":"0","type":"known","data":{"a":1}}`); status != http.StatusOK {
				t.Fatalf("status %d, %s", status, answer)
			}
			records.gets.Store(c.gets)
			records.does.Store(c.does)
			records.creates.Store(true)
			const body = `{"id":"1","type":"new","data":{"a":1}}` + "\n" + `{"id":"2","type":"known"}`
			status, answer := p.send(body)
			if status != c.status || strings.Contains(answer, "accepted") != (status == http.StatusOK) ||
				strings.Contains(answer, "catalog_unavailable") == (status == http.StatusOK) {
				t.Errorf("status %d, %s", status, answer)
			}
			if status, answer := p.send(`{"id":"2","type":"known","data":{"a":2}}`); status != http.StatusOK {
				t.Errorf("a known type: status %d, %s", status, answer)
			}
			if status, answer := p.send(`{"id":"3","type":"a b"}`); status != http.StatusBadRequest ||
				!strings.Contains(answer, "unknown_type") {
				t.Errorf("a type that cannot be declared: status %d, %s", status, answer)
			}
			records.gets.Store(false)
			records.creates.Store(false)
			if status, answer := p.send(body); status != http.StatusOK || !strings.Contains(answer, `"accepted":2`) {
				t.Errorf("the same request again: status %d, %s", status, answer)
			}
			if got := p.chain.Catalog().Declared(); got != 2 {
				t.Errorf("%d types are declared", got)
			}
		})
	}
}
