package jobs

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/jobs/conservation"
	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/openapi/openapitest"
	"recount/schemas/record/recordtest"
)

// TestEmptySystemKeepsTheContract asks a system in which nothing has happened: an empty partition, a
// job that never ran, a recheck without a publication. The answers are those of the OpenAPI document:
// arrays are empty, never null.
func TestEmptySystemKeepsTheContract(t *testing.T) {
	t.Parallel()
	empty := &conservation.Books{Catalog: &catalog.Catalog{},
		Partitions: []conservation.Partition{{Acknowledged: &conservation.Acknowledged{}}}}
	rechecker := NewRechecker(func(context.Context) (openapi.Recheck, error) {
		return openapi.Recheck{}, nil
	}, Options{})
	a := NewAuditor(empty.Conserve, rechecker, Options{})
	for _, run := range []func(context.Context) (Report, error){rechecker.run, a.run} {
		if _, err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := scheduler(t, openLedger(t, &recordtest.Memory{}), a.Job(""))
	for path, h := range map[string]http.Handler{"/v1/audit": a.Handler(), "/v1/audit?tenant=acme": a.Handler(),
		"/v1/jobs": s.Handler()} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(),
			access.Principal{Tenant: "ops", Scopes: access.Admin})))
		target, _, _ := strings.Cut(path, "?")
		if err := openapitest.Check(r.Method, target, w.Code, w.Header(), w.Body.Bytes()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
