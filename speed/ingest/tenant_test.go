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

// TestNoPrincipal checks that a handler without a guard refuses requests.
func TestNoPrincipal(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(flights(1)))
	r.Header.Set("Content-Type", ndjson)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"code":"unauthorized"`) ||
		len(log.frames) > 0 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// TestTenantsShareAMessage checks that each event keeps its tenant when requests are gathered into
// one message (L2), and that the same id of two tenants is two identities (I1).
func TestTenantsShareAMessage(t *testing.T) {
	t.Parallel()
	s, err := New(testConfig(), testCatalog(), 1, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var chunks []*chunk
	for _, tenant := range []string{"acme", "b"} {
		q := s.newRequest(s.current())
		q.decoder.tenant = tenant
		q.body = []byte(flights(2))
		if p := q.pay(1 << 20); p != nil {
			t.Fatal(p)
		}
		if p := q.decode(kindLines, nil, testNow); p != nil {
			t.Fatal(p)
		}
		chunks = append(chunks, q.chunks...)
	}
	frame, err := chunks[0].eventType.frames.Get().(*frame).encode(chunks, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, recs, err := eventbatch.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	var tenants []string
	keys := map[string]bool{}
	for row := range int(recs[0].Rec.NumRows()) {
		tenant := recs[0].Tenant.Value(row)
		id := recs[0].ID.Value(row)
		tenants = append(tenants, tenant)
		keys[string(recs[0].Key.Value(row))] = true
		if want := eventbatch.TenantSourceID.Key(tenant, recs[0].Source.Value(row),
			id); string(want[:]) != string(recs[0].Key.Value(row)) {
			t.Errorf("row %d: the key is not that of %s and %s", row, tenant, id)
		}
	}
	if want := []string{"acme", "acme", "b", "b"}; !slices.Equal(tenants, want) || len(keys) != 4 {
		t.Errorf("got the tenants %v with %d keys, want %v with 4 keys", tenants, len(keys), want)
	}
}

// TestTenantIsThePrincipals checks that events get the tenant of the request's principal, and not
// one that a parameter, a header or an earlier request names.
func TestTenantIsThePrincipals(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 2, log)
	for i, tenant := range []string{"acme", "b", "acme"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/events?tenant=x", strings.NewReader(flight(i)))
		r.Header.Set("Content-Type", ndjson)
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
		t.Errorf("got the tenants %v, want acme twice and b once", got)
	}
}

// ask sends a request of a tenant and returns the answer.
func ask(s *Server, tenant, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
	r.Header.Set("Content-Type", ndjson)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w,
		r.WithContext(access.NewContext(r.Context(), access.Principal{Tenant: tenant, Scopes: access.Ingest})))
	return w
}

// TestFloodLeavesRoom blocks the log while one tenant sends as much as it can. That tenant is
// answered 429, and there is still memory and room in the queue for another tenant.
func TestFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	blocked := make(chan struct{})
	begun := make(chan struct{}, 100)
	release := sync.OnceFunc(func() { close(blocked) })
	log := &memoryLog{hook: func(int) error {
		begun <- struct{}{}
		<-blocked
		return nil
	}}
	cfg := testConfig()
	cfg.Fair = true
	cfg.QueueBytes = 2 * (cfg.GroupBytes + cfg.EventBytes)
	reg := prometheus.NewRegistry()
	s := runWith(t, cfg, 1, log, Options{Now: func() time.Time { return testNow }, Registerer: reg})
	defer release() // If the test fails, the server can still end.
	big := strings.Replace(flight(1), `"origin":"`, `"origin":"`+strings.Repeat("x", 100<<10), 1)
	var flood sync.WaitGroup
	codes := make(chan *httptest.ResponseRecorder, 1000)
	for i := range 200 {
		flood.Go(func() {
			codes <- ask(s, "flood", strings.Replace(big, `"id":"`, `"id":"`+strconv.Itoa(i)+`-`, 1))
		})
	}
	for { // The refusal must say that this tenant used its share.
		w := <-codes
		if w.Code == http.StatusTooManyRequests {
			if !strings.Contains(w.Body.String(), `"code":"share_used"`) || w.Header().Get("Retry-After") == "" {
				t.Errorf("the flooding tenant got %v %s", w.Header(), w.Body)
			}
			break
		}
	}
	<-begun
	if held := value(t, reg, "recount_ingest_queue_tenant_bytes"); held == 0 || held > float64(cfg.QueueBytes/2) {
		t.Errorf("the flooding tenant holds %v of %d bytes, want at most half", held, cfg.QueueBytes)
	}
	other := make(chan int)
	go func() { other <- ask(s, "other", big).Code }()
	for { // Wait until the other tenant's event is in the queue.
		q := s.committers[0].queue
		q.mu.Lock()
		waits := q.byTenant["other"] > 0
		q.mu.Unlock()
		if waits {
			break
		}
		select {
		case code := <-other:
			t.Fatalf("the other tenant got the status %d", code)
		case <-time.After(time.Millisecond):
		}
	}
	release()
	if code := <-other; code != http.StatusOK {
		t.Errorf("the other tenant got the status %d", code)
	}
	flood.Wait()
	if n := len(s.committers[0].queue.byTenant); n != 0 {
		t.Errorf("%d tenants still hold bytes of the queue", n)
	}
}

// value returns the value of a gauge, for the first of its partitions.
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
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestFairMemory lets three tenants reserve as much as they can, one after the other. Each gets
// half of what the tenants before it left.
func TestFairMemory(t *testing.T) {
	t.Parallel()
	b := &budget{}
	b.left.Store(1200)
	reserveAll := func(tenant string) (n int) {
		for b.reserve(b.held(tenant), 1, true) == nil {
			n++
		}
		return n
	}
	first := reserveAll("a")
	second := reserveAll("b")
	third := reserveAll("c")
	if first != 600 || second != 300 || third != 150 {
		t.Errorf("the tenants reserved %d, %d and %d bytes, want 600, 300 and 150", first, second, third)
	}
	b.release(b.held("a"), 300)
	if got := reserveAll("c"); got != 150 { // The tenant c then holds 300 bytes, and 300 are left.
		t.Errorf("after a release: got %d, want 150", got)
	}
	if b.reserve(b.held("b"), 1200, true) != memoryUsed || b.reserve(b.held("c"), 100, true) != shareUsed ||
		b.reserve(b.held("d"), 100, false) != nil {
		t.Error("got the wrong refusal, or one although tenants need not be fair")
	}
}

// TestRates checks that a request asks for admission three times: before its body is read, for
// its bytes, and for its events.
func TestRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refuse int
		asked  []string
	}{
		{1, []string{"acme begins"}},
		{2, []string{"acme begins", "acme 9 0"}},
		{3, []string{"acme begins", "acme 9 0", "acme 0 3"}},
		{0, []string{"acme begins", "acme 9 0", "acme 0 3"}},
	} {
		var asked []string
		log := &memoryLog{}
		cfg := testConfig()
		body := flight(1) + "\nx\n" + flight(2)
		s := runWith(t, cfg, 1, log,
			Options{Now: func() time.Time { return testNow },
				Begin: func(p access.Principal) time.Duration {
					asked = append(asked, p.Tenant+" begins")
					if len(asked) == c.refuse {
						return 2500 * time.Millisecond
					}
					return 0
				},
				Admit: func(p access.Principal, bytes, events int) time.Duration {
					ninths := bytes * 9 / len(body)
					asked = append(asked, fmt.Sprint(p.Tenant, " ", ninths, " ", events))
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

// TestSpread checks that the buckets of accepted events are counted once a request, and that a refused request
// stores nothing and says what to change.
func TestSpread(t *testing.T) {
	t.Parallel()
	body := flight(1) + "\n" + flight(2) + "\nx\n" +
		strings.ReplaceAll(flight(3), "2001-01-01T00:", "2001-02-01T07:") + "\n"
	for _, c := range []struct {
		wait   time.Duration
		limit  int
		status int
		says   string
	}{
		{0, 0, http.StatusOK, `"accepted":3`},
		{90 * time.Second, 0, http.StatusTooManyRequests, "rate_limited"},
		{0, 1, http.StatusRequestEntityTooLarge, "2 buckets of 1h0m0s, and limits.buckets_per_minute allows 1; send"},
	} {
		log := &memoryLog{}
		var asked []string
		s := runWith(t, testConfig(), 1, log, Options{Now: func() time.Time { return testNow },
			Spread: func(tenant string, buckets map[int64]struct{}) (time.Duration, int) {
				asked = append(asked, fmt.Sprint(tenant, " ", len(buckets)))
				return c.wait, c.limit
			}})
		w := ask(s, "acme", body)
		stored := len(log.frames) > 0
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || stored != (c.status == http.StatusOK) ||
			!slices.Equal(asked, []string{"acme 2"}) {
			t.Errorf("asked %v, got %d %s, %d messages", asked, w.Code, w.Body, len(log.frames))
		}
		if c.wait > 0 && w.Header().Get("Retry-After") != "90" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
	}
}
