package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/schemas/access"
)

// logged are lines of the access log.
type logged []struct {
	Level, Msg, Address, Method, Route, Tenant string
	RequestID                                  string `json:"request_id"`
	Status                                     int
	Bytes                                      int64
	Seconds                                    float64
	Cut                                        bool
}

// accessLines returns the lines about requests out of a log in JSON.
func accessLines(t *testing.T, log string) (lines logged) {
	t.Helper()
	for text := range strings.Lines(log) {
		l := make(logged, 1)
		if err := json.Unmarshal([]byte(text), &l[0]); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if l[0].Msg == "request" {
			lines = append(lines, l...)
		}
	}
	return lines
}

// guardedHandlers are handlers behind keys: the key "secret-key" is that of acme.
func guardedHandlers(t *testing.T) *http.ServeMux {
	t.Helper()
	mux, _, err := mount(map[string]http.Handler{
		"/": http.NotFoundHandler(),
		"/v1/events/{id}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.PathValue("id") {
			case "secret-fail":
				http.Error(w, "secret-text", http.StatusServiceUnavailable)
			case "secret-cut":
				_, _ = io.WriteString(w, "half")
				panic(http.ErrAbortHandler)
			case "secret-empty":
			default:
				_, _ = io.WriteString(w, "secret-text")
			}
		}),
	}, noteTenants(func(r *http.Request) (access.Principal, error) {
		if r.Header.Get("Authorization") != "Bearer secret-key" {
			return access.Principal{}, errors.New("no such key")
		}
		return access.Principal{Tenant: "acme", Scopes: access.Query}, nil
	}), false)
	if err != nil {
		t.Fatal(err)
	}
	return mux
}

// send gives a request to a handler as a server does, with a key, an id and a query.
func send(h http.Handler, method, path, key string) {
	r := httptest.NewRequest(method, "/x?token=secret-token", strings.NewReader("secret-body"))
	r.URL.Path = path
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("X-Request-Id", "mine")
	defer func() { _ = recover() }() //nolint:errcheck // as net/http ends a request that is cut
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// TestAccessLog: each request is a line with what it was, and without what it said.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := DefaultHTTPConfig()
	cfg.AccessLog = 1
	h := newServer(cfg, "public", guardedHandlers(t), ownOrigin(), slog.New(slog.NewJSONHandler(&out, nil))).Handler
	for _, tt := range []struct {
		method, path, key          string
		level, logs, route, tenant string
		status                     int
		bytes                      int64
		cut                        bool
	}{
		{"GET", "/v1/events/secret-1", "secret-key", "INFO", "GET", "/v1/events/{id}", "acme", 200, 11, false},
		{"HEAD", "/v1/events/secret-empty", "secret-key", "INFO", "HEAD", "/v1/events/{id}", "acme", 200, 0, false},
		{"GET", "/v1/events/secret-fail", "secret-key", "WARN", "GET", "/v1/events/{id}", "acme", 503, 12, false},
		{"GET", "/v1/events/secret-cut", "secret-key", "WARN", "GET", "/v1/events/{id}", "acme", 200, 4, true},
		{"GET", "/v1/events/secret-1", "secret-other", "INFO", "GET", "/v1/events/{id}", "", 401, -1, false},
		{"SECRET-VERB", "/secret-path", "secret-key", "INFO", "other", "/", "", 404, -1, false},
		{"GET", "//secret-path", "secret-key", "INFO", "GET", "", "", 404, -1, false},
	} {
		out.Reset()
		send(h, tt.method, tt.path, tt.key)
		lines := accessLines(t, out.String())
		if len(lines) != 1 {
			t.Fatalf("%s %s: %d lines", tt.method, tt.path, len(lines))
		}
		l := lines[0]
		if l.Level != tt.level || l.Address != "public" || l.Method != tt.logs || l.Route != tt.route ||
			l.Tenant != tt.tenant || l.RequestID != "mine" || l.Status != tt.status || l.Cut != tt.cut ||
			l.Bytes != tt.bytes && (tt.bytes >= 0 || l.Bytes == 0) || l.Seconds <= 0 || l.Seconds > 600 {
			t.Errorf("%s %s: %s", tt.method, tt.path, out.String())
		}
		if strings.Contains(strings.ToLower(out.String()), "secret") {
			t.Errorf("the line tells a secret: %s", out.String())
		}
	}
}

// TestAccessLineStatus: the status of a request is that of its answer, and not of what was sent before.
func TestAccessLineStatus(t *testing.T) {
	t.Parallel()
	l := &accessLine{ResponseWriter: httptest.NewRecorder()}
	for _, status := range []int{http.StatusProcessing, http.StatusNoContent, http.StatusInternalServerError} {
		l.WriteHeader(status)
	}
	if l.status != http.StatusNoContent {
		t.Errorf("got %d, want 204", l.status)
	}
}

// TestAccessLogSamples: of a thousand requests about one in ten is logged, and each that fails. Without a log the
// handlers get the writer of the server itself, so requests cost what they did.
func TestAccessLogSamples(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := DefaultHTTPConfig()
	cfg.AccessLog = 10
	h := newServer(cfg, "public", guardedHandlers(t), ownOrigin(), slog.New(slog.NewJSONHandler(&out, nil))).Handler
	for range 1000 {
		send(h, "GET", "/v1/events/1", "secret-key")
		send(h, "GET", "/v1/events/secret-fail", "secret-key")
	}
	count := map[int]int{}
	for _, l := range accessLines(t, out.String()) {
		count[l.Status]++
	}
	if count[200] < 50 || count[200] > 150 || count[503] != 1000 {
		t.Errorf("of 1000 requests of each status were logged %v", count)
	}

	cfg.AccessLog = 0
	w := httptest.NewRecorder()
	h = newServer(cfg, "public", http.HandlerFunc(func(got http.ResponseWriter, r *http.Request) {
		if got != w || r.Context().Value(accessLineKey{}) != nil {
			t.Error("a request that is not logged is wrapped")
		}
	}), ownOrigin(), slog.New(slog.DiscardHandler)).Handler
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
}

// BenchmarkAccessLog has the allocations that a log adds to a request.
func BenchmarkAccessLog(b *testing.B) {
	for name, oneIn := range map[string]int{"off": 0, "one in 1000": 1000, "all": 1} {
		b.Run(name, func(b *testing.B) {
			cfg := DefaultHTTPConfig()
			cfg.AccessLog = oneIn
			h := newServer(cfg, "public", http.NewServeMux(), ownOrigin(),
				slog.New(slog.NewJSONHandler(io.Discard, nil))).Handler
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("X-Request-Id", "mine")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
