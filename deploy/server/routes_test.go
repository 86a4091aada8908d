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

// documented are the operations of the OpenAPI document: paths with their methods.
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

// TestEveryOperationSaysWhoMayAsk compares the document with the table: the same paths, and for
// each operation the scope as its security, none for what is open.
func TestEveryOperationSaysWhoMayAsk(t *testing.T) {
	t.Parallel()
	paths := documented(t)
	for path, item := range paths {
		r, ok := routes[path]
		if !ok {
			t.Errorf("%s is in the document, but nobody has said who may use it", path)
		}
		for method, raw := range item {
			var op struct {
				Security []map[string][]string
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			var scopes []string
			for _, s := range op.Security {
				scopes = append(scopes, s["key"]...)
			}
			if !slices.Equal(scopes, r.needs.Names()) {
				t.Errorf("%s %s: the document asks for %v, the table for %v", method, path, scopes, r.needs.Names())
			}
		}
	}
	for pattern := range routes {
		if _, ok := paths[pattern]; !ok && pattern != "/" && pattern != "/debug/pprof/" {
			t.Errorf("%s is not in the document", pattern)
		}
	}
}

var errStranger = errors.New("who are you")

// TestMountGuards asks every route without a key, and with one of each scope, on both addresses.
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
		for _, scope := range []access.Scopes{0, access.Ingest, access.Query, access.Admin} {
			public, admin, err := mount(handlers, func(*http.Request) (access.Principal, error) {
				if scope == 0 {
					return access.Principal{}, errStranger
				}
				return access.Principal{Tenant: "acme", Scopes: scope}, nil
			}, apart)
			if err != nil {
				t.Fatal(err)
			}
			for pattern, r := range routes {
				want := http.StatusTeapot
				switch {
				case r.needs == 0 || scope&r.needs != 0:
				case scope == 0:
					want = http.StatusUnauthorized
				default:
					want = http.StatusForbidden
				}
				onPublic := want
				onAdmin := want
				switch { // What is not on an address is answered there by "/", which is a teapot too.
				case r.on == publicly:
					onAdmin = http.StatusTeapot
				case r.on == byAdmins && apart, r.on == apartOrNever:
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

func status(h http.Handler, path string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code
}

func TestMountRefusesWhatNobodyDecided(t *testing.T) {
	t.Parallel()
	_, _, err := mount(map[string]http.Handler{"/v1/secrets": http.NotFoundHandler()}, keys.Loopback, false)
	if err == nil {
		t.Error("a route without an owner was mounted")
	}
}
