package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/server/keys"
	"recount/deploy/server/quota"
	"recount/schemas/access"
)

// ownOrigin is the origins of an address that no page of another origin may use.
func ownOrigin() *origins { return newOrigins(nil, nil, slog.New(slog.DiscardHandler)) }

// collectKey makes a keys file with a key of scope collect and one of scope ingest and query.
func collectKey(t *testing.T, types, origins []string) (w *keys.Watcher, collect, other string) {
	t.Helper()
	now := time.Now()
	k, collect := keys.New("acme", access.Collects, now, time.Time{})
	k.Collect = &access.Collect{Types: types, Origins: origins, Rate: 100}
	plain, other := keys.New("acme", access.Ingest|access.Query, now, time.Time{})
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keys.Update(path, func([]keys.Key) ([]keys.Key, error) { return []keys.Key{k, plain}, nil }); err != nil {
		t.Fatal(err)
	}
	w, err := keys.Open(keys.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return w, collect, other
}

// TestOrigins sends requests as pages of several origins do: with a key of scope collect, and with another key.
func TestOrigins(t *testing.T) {
	t.Parallel()
	const (
		shop = "https://shop.example"
		app  = "https://app.example"
		evil = "https://evil.example"
	)
	watcher, collect, other := collectKey(t, []string{"page.viewed"}, []string{shop})
	teapot := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux, _, err := mount(map[string]http.Handler{"/v1/events": teapot, "/v1/query": teapot}, watcher.Authenticate,
		false)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := newOrigins([]string{app}, watcher, slog.New(slog.NewJSONHandler(&log, nil)))
	h := newServer(DefaultHTTPConfig(), "public", mux, o, slog.New(slog.DiscardHandler)).Handler
	refused := 0.0
	for _, c := range []struct {
		name, method, target, key string
		headers                   []string
		status                    int
		code, shared              string
	}{
		{name: "collect from its page", method: "POST", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", shop, "Sec-Fetch-Site", "cross-site"}, status: 418, shared: shop},
		{name: "collect in the header", method: "POST", target: "/v1/events", key: collect,
			headers: []string{"Origin", shop}, status: 418, shared: shop},
		{name: "collect from another page", method: "POST", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", evil}, status: 403, code: "cross_origin"},
		{name: "collect from a page of http.cors", method: "POST", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", app}, status: 403, code: "cross_origin"},
		{name: "collect from a page that hides its origin", method: "POST", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", "null"}, status: 403, code: "cross_origin"},
		{name: "collect without a page", method: "POST", target: "/v1/events?key=" + collect, status: 403,
			code: "cross_origin"},
		{name: "collect reads events", method: "GET", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", shop}, status: 403, code: "forbidden", shared: shop},
		{name: "collect asks a query", method: "POST", target: "/v1/query?key=" + collect,
			headers: []string{"Origin", shop}, status: 403, code: "forbidden", shared: shop},
		{name: "the secret is wrong", method: "POST", target: "/v1/events?key=" + collect[:63] + "~",
			headers: []string{"Origin", shop}, status: 403, code: "cross_origin"},
		{name: "preflight with a wrong secret", method: "OPTIONS", target: "/v1/events?key=" + collect[:63] + "~",
			headers: []string{"Origin", shop, "Access-Control-Request-Method", "POST"}, status: 403,
			code: "cross_origin"},
		{name: "a sender of webhooks asks", method: "OPTIONS", target: "/v1/events", key: collect,
			headers: []string{"WebHook-Request-Origin", "events.example.com"}, status: 418},
		{name: "another key in the query", method: "POST", target: "/v1/events?key=" + other, status: 401,
			code: "unauthorized"},
		{name: "another key in the query of a listed page", method: "POST", target: "/v1/events?key=" + other,
			headers: []string{"Origin", app}, status: 401, code: "unauthorized", shared: app},
		{name: "another key from a page", method: "POST", target: "/v1/events", key: other,
			headers: []string{"Origin", shop}, status: 403, code: "cross_origin"},
		{name: "another key from a page of http.cors", method: "POST", target: "/v1/query", key: other,
			headers: []string{"Origin", app, "Sec-Fetch-Site", "cross-site"}, status: 418, shared: app},
		{name: "a read of a page that is not listed", method: "GET", target: "/v1/query", key: other,
			headers: []string{"Origin", evil}, status: 418}, // The browser keeps the answer from the page.
		{name: "two keys", method: "POST", target: "/v1/events?key=" + collect + "&key=" + collect,
			headers: []string{"Origin", shop}, status: 403, code: "cross_origin"},
		{name: "preflight of a page of http.cors", method: "OPTIONS", target: "/v1/query",
			headers: []string{"Origin", app, "Access-Control-Request-Method", "POST"}, status: 204, shared: app},
		{name: "preflight of a collecting page", method: "OPTIONS", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", shop, "Access-Control-Request-Method", "POST"}, status: 204, shared: shop},
		{name: "preflight of another page", method: "OPTIONS", target: "/v1/events?key=" + collect,
			headers: []string{"Origin", evil, "Access-Control-Request-Method", "POST"}, status: 403,
			code: "cross_origin"},
		{name: "no preflight", method: "OPTIONS", target: "/v1/query", headers: []string{"Origin", app}, status: 401,
			code: "unauthorized", shared: app},
		{name: "no page", method: "POST", target: "/v1/query", key: other, status: 418},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		if c.key != "" {
			r.Header.Set("Authorization", "Bearer "+c.key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p struct{ Code string }
		_ = json.Unmarshal(w.Body.Bytes(), &p) // A request that is allowed has no body.
		got := w.Header().Get("Access-Control-Allow-Origin")
		if w.Code != c.status || p.Code != c.code || got != c.shared {
			t.Errorf("%s: %d %s, shared with %q; want %d %s and %q", c.name, w.Code, p.Code, got, c.status, c.code,
				c.shared)
		}
		if w.Header().Get("Vary") != "Origin" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
		if c.code == "cross_origin" {
			refused++
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(o.refused)
	if got := value(t, reg, "recount_http_cross_origin_refused_total"); got != refused {
		t.Errorf("%v refused, want %v", got, refused)
	}
	if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, evil) ||
		strings.Contains(lines, collect) {
		t.Errorf("the log does not have one line about the first refused page, or has a key: %s", lines)
	}
}

// TestTwoOrigins: a request that names two origins is refused, because another server may read the other one.
func TestTwoOrigins(t *testing.T) {
	t.Parallel()
	watcher, collect, _ := collectKey(t, []string{"page.viewed"}, []string{"https://shop.example"})
	h := newOrigins(nil, watcher, slog.New(slog.DiscardHandler)).over(http.HandlerFunc(ok))
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodOptions} {
		r := httptest.NewRequest(method, "/v1/events?key="+collect, nil)
		r.Header["Origin"] = []string{"https://shop.example", "https://evil.example"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

// TestRefusedRequestsOfCollect: requests that have no event use up the rate of their key of scope collect before they
// use up the bytes of its tenant. Events beyond the first of a request count as well.
func TestRefusedRequestsOfCollect(t *testing.T) {
	t.Parallel()
	now := time.Now()
	quotas, err := quota.New(quota.Config{Default: quota.Rates{Bytes: 1000}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{quotas: quotas}
	page := access.Principal{Tenant: "acme", KeyID: "page", Collect: &access.Collect{Rate: 3}}
	other := access.Principal{Tenant: "acme", KeyID: "other"}
	for i := range 3 {
		if wait := s.begin(page) + s.admit(page, 300, 0); wait != 0 {
			t.Errorf("request %d: %s", i, wait)
		}
	}
	if wait := s.begin(page); wait == 0 {
		t.Error("requests without events cost the key nothing")
	}
	if wait := s.begin(other) + s.admit(other, 50, 0); wait != 0 {
		t.Errorf("another key of the tenant: %s", wait)
	}
	now = now.Add(2 * time.Second)
	for i, want := range []bool{true, false} {
		passes := s.begin(page) == 0 && s.admit(page, 300, 0) == 0 && s.admit(page, 0, 10) == 0
		if passes != want {
			t.Errorf("ten events, time %d: passes %v", i, passes)
		}
	}
}

// TestImagesHaveNoOrigin: a browser names the page of an image, and a mail names none.
func TestImagesHaveNoOrigin(t *testing.T) {
	t.Parallel()
	watcher, collect, _ := collectKey(t, []string{"page.viewed"}, []string{"https://shop.example"})
	h := newOrigins(nil, watcher, slog.New(slog.DiscardHandler)).over(http.HandlerFunc(ok))
	for referer, want := range map[string]int{"https://shop.example/a?b": 200, "": 200, "about:blank": 200,
		"https://evil.example/": 403, "https://shop.example:444/": 403, "http://shop.example/": 403} {
		r := httptest.NewRequest(http.MethodGet, "/v1/pixel.gif?key="+collect, nil)
		r.Header.Set("Referer", referer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("a page %q: %d, want %d", referer, w.Code, want)
		}
	}
}

// TestCORSSetting reads origins as an operator writes them.
func TestCORSSetting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, " ": 0, "https://a.example": 1, "https://a.example, http://b:81": 2} {
		if got, err := parseOrigins(text); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a.example", "*", "https://a.example/", "https://A.example", "null", "https://",
		"https://a:443", "http://a:80", "https://a:", "https://u@a", "ftp://a", "https://a?b", "https://a b",
		"https://a.example;https://b.example"} {
		cfg := DefaultHTTPConfig()
		cfg.CORS = text
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "http.cors") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
