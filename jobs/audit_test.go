package jobs

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/jobs/conservation"
	"recount/schemas/access"
	"recount/schemas/openapi"
)

// TestAuditByTenant checks that a tenant gets only its own numbers and differences, whatever it
// asks for, and that a key with the scope admin gets those of all tenants or of one.
func TestAuditByTenant(t *testing.T) {
	t.Parallel()
	differences := []openapi.Difference{{Tenant: "acme", Time: "acme's cell"}, {Tenant: "rival", Time: "rival's cell"}}
	rechecker := NewRechecker(func(context.Context) (openapi.Recheck, error) {
		return openapi.Recheck{Differences: differences}, nil
	}, Options{})
	a := NewAuditor(func(context.Context) (*conservation.Audit, error) {
		return &conservation.Audit{Tenants: []conservation.TenantAudit{{Tenant: "acme"}, {Tenant: "rival"}}}, nil
	}, rechecker, Options{})
	_, _ = rechecker.run(t.Context()) // The run fails, because it finds differences.
	if _, err := a.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := &access.Principal{Tenant: "rival", Scopes: access.Query}
	admin := &access.Principal{Tenant: "ops", Scopes: access.Admin}
	for _, c := range []struct {
		principal   *access.Principal
		query       string
		status      int
		acme, rival bool // whether the answer has the tenant's name
	}{
		{nil, "", http.StatusForbidden, false, false},
		{tenant, "", http.StatusOK, false, true},
		{tenant, "?tenant=rival", http.StatusOK, false, true},
		{tenant, "?tenant=acme", http.StatusForbidden, false, false},
		{tenant, "?tenant=", http.StatusForbidden, false, false},
		{admin, "", http.StatusOK, true, true},
		{admin, "?tenant=acme", http.StatusOK, true, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/audit"+c.query, nil)
		if c.principal != nil {
			r = r.WithContext(access.NewContext(r.Context(), *c.principal))
		}
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != c.status || strings.Contains(body, "acme") != c.acme ||
			strings.Contains(body, "rival") != c.rival {
			t.Errorf("%+v asks for %q: status %d: %s", c.principal, c.query, w.Code, body)
		}
	}
}

// TestUncountedPartitionIsAnAlarm checks an audit that could not count a partition: events may be
// missing there, so the run fails and the alarm is on.
func TestUncountedPartitionIsAnAlarm(t *testing.T) {
	t.Parallel()
	a := NewAuditor(func(context.Context) (*conservation.Audit, error) {
		return &conservation.Audit{Partitions: []conservation.PartitionAudit{{},
			{Partition: 1, Unreadable: "message 7: flipped"}}}, nil
	}, NewRechecker(nil, Options{}), Options{})
	if _, err := a.run(t.Context()); err == nil || !strings.Contains(err.Error(), "partitions [1]") {
		t.Errorf("the run returned %v", err)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/audit", nil)
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w,
		r.WithContext(access.NewContext(r.Context(), access.Principal{Tenant: "ops", Scopes: access.Admin})))
	if body := w.Body.String(); !strings.Contains(body, `"alarm":true`) ||
		!strings.Contains(body, `"unreadable":"message 7: flipped"`) {
		t.Error(body)
	}
}
