package ingest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

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
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"code":"unauthorized"`) || len(log.frames) > 0 {
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
		q.dec.tenant, q.body = tenant, []byte(flights(2))
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
		tenant, id := recs[0].Tenant.Value(row), recs[0].ID.Value(row)
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
		s.Handler().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Principal{Tenant: tenant, Scopes: access.Ingest})))
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
