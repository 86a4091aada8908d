package ingest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/eventbatch"
)

// TestNobody: a handler mounted without a guard refuses.
func TestNobody(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(flights(1)))
	r.Header.Set("Content-Type", lines)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"code":"unauthorized"`) ||
		len(log.frames) > 0 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// TestTenantsShareAMessage: each event keeps its owner when requests are gathered (L2),
// and the same id of two tenants is two identities (I1).
func TestTenantsShareAMessage(t *testing.T) {
	t.Parallel()
	s, err := New(testConfig(), testCatalog(), 1, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var chunks []*chunk
	for _, tenant := range []string{"acme", "b"} {
		q := s.newRequest()
		q.dec.tenant = tenant
		q.body = []byte(flights(2))
		if f := q.pay(1 << 20); f != nil {
			t.Fatal(f)
		}
		if f := q.decode(kindLines, nil, testNow); f != nil {
			t.Fatal(f)
		}
		chunks = append(chunks, q.chunks...)
	}
	frame, err := chunks[0].typ.frames.Get().(*frame).encode(chunks, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, recs, err := eventbatch.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	var owners []string
	keys := map[string]bool{}
	for row := range int(recs[0].Rec.NumRows()) {
		tenant := recs[0].Tenant.Value(row)
		id := recs[0].ID.Value(row)
		owners = append(owners, tenant)
		keys[string(recs[0].Key.Value(row))] = true
		if want := eventbatch.KeyOf(tenant, id); string(want[:]) != string(recs[0].Key.Value(row)) {
			t.Errorf("row %d: the key is not that of %s and %s", row, tenant, id)
		}
	}
	if want := []string{"acme", "acme", "b", "b"}; !slices.Equal(owners, want) || len(keys) != 4 {
		t.Errorf("owners %v, want %v; %d keys", owners, want, len(keys))
	}
}

// TestOwnerIsThePrincipal: the owner of stored events is the request's principal, whoever asked before.
func TestOwnerIsThePrincipal(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 2, log)
	for i, tenant := range []string{"acme", "b", "acme"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/events?tenant=x", strings.NewReader(flight(i)))
		r.Header.Set("Content-Type", lines)
		r.Header.Set("Tenant", "x")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w,
			r.WithContext(access.NewContext(r.Context(), access.Principal{Tenant: tenant, Scopes: access.Ingest})))
		if w.Code != http.StatusOK {
			t.Fatal(w.Body)
		}
	}
	got := map[string]int{}
	for _, e := range log.events(t, 2) {
		got[e.Tenant]++
	}
	if got["acme"] != 2 || got["b"] != 1 || len(got) != 2 {
		t.Errorf("owners %v", got)
	}
}

// ask sends a request of a tenant and returns the answer's status.
func ask(s *Server, tenant, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
	r.Header.Set("Content-Type", lines)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w,
		r.WithContext(access.NewContext(r.Context(), access.Principal{Tenant: tenant, Scopes: access.Ingest})))
	return w
}

// TestFloodLeavesRoom: a tenant that sends all it can while the log stands still is
// told 429, and what another one sends then is still taken, from queue and memory.
func TestFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	stands := make(chan struct{})
	begun := make(chan struct{}, 100)
	release := sync.OnceFunc(func() { close(stands) })
	log := &memoryLog{hook: func(int) error {
		begun <- struct{}{}
		<-stands
		return nil
	}}
	cfg := testConfig()
	cfg.Fair = true
	cfg.QueueBytes = 2 * (cfg.GroupBytes + cfg.EventBytes)
	reg := prometheus.NewRegistry()
	s := runWith(t, cfg, 1, log, Options{Now: func() time.Time { return testNow }, Registerer: reg})
	defer release() // Whatever comes, the server can end.
	big := strings.Replace(flight(1), `"origin":"`, `"origin":"`+strings.Repeat("x", 100<<10), 1)
	var flood sync.WaitGroup
	codes := make(chan *httptest.ResponseRecorder, 1000)
	for i := range 200 {
		flood.Go(func() {
			codes <- ask(s, "flood", strings.Replace(big, `"id":"`, `"id":"`+strconv.Itoa(i)+`-`, 1))
		})
	}
	for { // What is refused is the tenant's own doing, and called so.
		w := <-codes
		if w.Code == http.StatusTooManyRequests {
			if !strings.Contains(w.Body.String(), `"code":"share_used"`) || w.Header().Get("Retry-After") == "" {
				t.Errorf("the flood is told %v %s", w.Header(), w.Body)
			}
			break
		}
	}
	<-begun
	if held := value(t, reg, "recount_ingest_queue_tenant_bytes"); held == 0 || held > float64(cfg.QueueBytes/2) {
		t.Errorf("one tenant holds %v of %d bytes", held, cfg.QueueBytes)
	}
	other := make(chan int)
	go func() { other <- ask(s, "other", big).Code }()
	for { // The other tenant's event waits for the log like everybody's.
		q := s.committers[0].queue
		q.mu.Lock()
		waits := q.owed["other"] > 0
		q.mu.Unlock()
		if waits {
			break
		}
		select {
		case code := <-other:
			t.Fatalf("the other tenant was told %d", code)
		case <-time.After(time.Millisecond):
		}
	}
	release()
	if code := <-other; code != http.StatusOK {
		t.Errorf("the other tenant was told %d", code)
	}
	flood.Wait()
	if n := len(s.committers[0].queue.owed); n != 0 {
		t.Errorf("%d tenants still hold something", n)
	}
}

// value is that of a metric of one partition.
func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestFairMemory is the rule of shares in numbers: a half, a third, and room for the next.
func TestFairMemory(t *testing.T) {
	t.Parallel()
	b := &budget{}
	b.left.Store(1200)
	grab := func(tenant string) (n int) {
		for b.take(b.of(tenant), 1, true) == nil {
			n++
		}
		return n
	}
	a := grab("a")
	second := grab("b")
	third := grab("c")
	if a != 600 || second != 300 || third != 150 {
		t.Errorf("%d, %d, %d", a, second, third)
	}
	b.give(b.of("a"), 300)
	if got := grab("c"); got != 150 { // c has 300 then, and as much is left.
		t.Errorf("after some was given back: %d", got)
	}
	if b.take(b.of("b"), 1200, true) != memoryUsed || b.take(b.of("c"), 100, true) != shareUsed ||
		b.take(b.of("d"), 100, false) != nil {
		t.Error("more than there is, or less without the rule")
	}
}

// TestRates asks for admission three times: before reading, for the bytes, for the events.
func TestRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refuse int
		asked  []string
	}{
		{1, []string{"acme 0 0"}},
		{2, []string{"acme 0 0", "acme 9 0"}},
		{3, []string{"acme 0 0", "acme 9 0", "acme 0 3"}},
		{0, []string{"acme 0 0", "acme 9 0", "acme 0 3"}},
	} {
		var asked []string
		log := &memoryLog{}
		cfg := testConfig()
		body := flight(1) + "\nx\n" + flight(2)
		s := runWith(t, cfg, 1, log,
			Options{Now: func() time.Time { return testNow },
				Admit: func(tenant string, bytes, events int) time.Duration {
					asked = append(asked, fmt.Sprint(tenant, " ", bytes*9/len(body), " ", events)) // All of the body is 9.
					if len(asked) == c.refuse {
						return 2500 * time.Millisecond
					}
					return 0
				}})
		w := ask(s, "acme", body)
		if !slices.Equal(asked, c.asked) {
			t.Errorf("asked %v, want %v", asked, c.asked)
		}
		if c.refuse == 0 && w.Code == http.StatusOK {
			continue
		}
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "3" ||
			!strings.Contains(w.Body.String(), `"code":"rate_limited"`) || len(log.frames) > 0 {
			t.Errorf("refused at %d: %d, Retry-After %q, %s", c.refuse, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}
