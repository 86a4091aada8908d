package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/openapi"
)

// documented returns the operations of the OpenAPI document by path and method.
func documented(t *testing.T) map[string]map[string]json.RawMessage {
	t.Helper()
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	return d.Paths
}

// TestDocumentedScopes compares the document with the table of routes. Both have the same paths, and the
// scopes of each operation are those of its route; an operation without any needs no key.
func TestDocumentedScopes(t *testing.T) {
	t.Parallel()
	paths := documented(t)
	for path, item := range paths {
		r, ok := routes[path]
		if !ok {
			t.Errorf("%s is in the document and not in the table of routes", path)
		}
		for method, raw := range item {
			var op struct {
				Security []map[string][]string
				Scopes   []string `json:"x-scopes"`
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			if (len(op.Security) > 0) != (len(op.Scopes) > 0) {
				t.Errorf("%s %s: security %v with the scopes %v", method, path, op.Security, op.Scopes)
			}
			want := r.needs
			if r.reads != 0 && method == "get" {
				want = r.reads
			}
			if r.edits && method != "get" {
				want = access.Admin
			}
			if !slices.Equal(op.Scopes, want.Names()) {
				t.Errorf("%s %s: the document names the scopes %v, the table %v", method, path, op.Scopes, want.Names())
			}
		}
	}
	for pattern := range routes {
		// What only browsers fetch is not in the document, from which clients are generated.
		forBrowsers := pattern == "/" || pattern == "/recount.js" || pattern == "/v1/pixel.gif"
		if _, ok := paths[pattern]; !ok && !forBrowsers && pattern != "/debug/pprof/" {
			t.Errorf("%s is not in the document", pattern)
		}
	}
}

var errNoKey = errors.New("no key")

// TestMountGuards sends a request to every route on both addresses: without a key, and with a key of each scope.
func TestMountGuards(t *testing.T) {
	t.Parallel()
	handlers := map[string]http.Handler{}
	for pattern := range routes {
		handlers[pattern] = http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
		})
	}
	for _, apart := range []bool{false, true} {
		for _, scope := range []access.Scopes{0, access.Ingest, access.Query, access.Admin, access.Metrics} {
			public, admin, err := mount(handlers, func(*http.Request) (access.Principal, error) {
				if scope == 0 {
					return access.Principal{}, errNoKey
				}
				return access.Principal{Tenant: "acme", Scopes: scope}, nil
			}, apart)
			if err != nil {
				t.Fatal(err)
			}
			for pattern, r := range routes {
				if r.reads != 0 {
					r.needs = r.reads // The requests of this test read.
				}
				want := http.StatusTeapot
				switch {
				case scope == access.Metrics && r.needs != 0 && pattern != "/metrics":
					want = http.StatusForbidden // It may read the metrics and nothing else.
				case r.needs == 0 || scope&r.needs != 0:
				case scope == 0:
					want = http.StatusUnauthorized
				default:
					want = http.StatusForbidden
				}
				onPublic := want
				onAdmin := want
				switch { // "/" answers every path that an address does not have, and it is a teapot too.
				case r.on == publicly:
					onAdmin = http.StatusTeapot
				case r.on == byAdmins && apart:
					onPublic = http.StatusNotFound
				case r.on == apartOrNever:
					onPublic = http.StatusTeapot
				}
				if got := status(public, pattern); got != onPublic {
					t.Errorf("apart %v, scope %s, %s: public status %d, want %d", apart, scope, pattern, got, onPublic)
				}
				if got := status(admin, pattern); got != onAdmin {
					t.Errorf("apart %v, scope %s, %s: admin status %d, want %d", apart, scope, pattern, got, onAdmin)
				}
			}
		}
	}
}

func status(h http.Handler, path string) int { return statusOf(h, http.MethodGet, path) }

func statusOf(h http.Handler, method, path string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code
}

// TestReadsAreGuarded: a key that may send events may not read them, and the other way round.
func TestReadsAreGuarded(t *testing.T) {
	t.Parallel()
	served := map[string]http.Handler{"/v1/events": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})}
	for _, scope := range []access.Scopes{access.Query, access.Ingest} {
		public, _, err := mount(served, func(*http.Request) (access.Principal, error) {
			return access.Principal{Tenant: "acme", Scopes: scope}, nil
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		for method, needs := range map[string]access.Scopes{http.MethodGet: access.Query, http.MethodHead: access.Query,
			http.MethodPost: access.Ingest, http.MethodPut: access.Ingest} {
			want := http.StatusForbidden
			if scope == needs {
				want = http.StatusTeapot
			}
			if got := statusOf(public, method, "/v1/events"); got != want {
				t.Errorf("%s with scope %s: status %d, want %d", method, scope, got, want)
			}
		}
	}
}

// TestEditsAreGuarded: a key that may read declarations may not change them, and none can where operators have an
// address of their own.
func TestEditsAreGuarded(t *testing.T) {
	t.Parallel()
	const path = "/v1/views/{name}"
	served := map[string]http.Handler{path: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})}
	for _, c := range []struct {
		scope         access.Scopes
		apart         bool
		public, admin int
	}{
		{access.Query, false, http.StatusForbidden, http.StatusForbidden},
		{access.Admin, false, http.StatusTeapot, http.StatusTeapot},
		{access.Query, true, http.StatusForbidden, http.StatusForbidden},
		{access.Admin, true, http.StatusMethodNotAllowed, http.StatusTeapot},
	} {
		public, admin, err := mount(served, func(*http.Request) (access.Principal, error) {
			return access.Principal{Tenant: "acme", Scopes: c.scope}, nil
		}, c.apart)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{http.MethodPut, http.MethodDelete} {
			if got := statusOf(public, method, path); got != c.public {
				t.Errorf("%s apart %v, scope %s: public status %d, want %d", method, c.apart, c.scope, got, c.public)
			}
			if got := statusOf(admin, method, path); got != c.admin {
				t.Errorf("%s apart %v, scope %s: admin status %d, want %d", method, c.apart, c.scope, got, c.admin)
			}
		}
	}
}

func TestMountRefusesUnlistedRoutes(t *testing.T) {
	t.Parallel()
	_, _, err := mount(map[string]http.Handler{"/v1/secrets": http.NotFoundHandler()}, keys.Loopback, false)
	if err == nil {
		t.Error("a route that is not in the table was mounted")
	}
}
