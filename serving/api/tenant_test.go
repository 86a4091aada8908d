package api

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/access"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/serving/changes"
	"recount/serving/merge"
	"recount/serving/reader"
)

// asked records the tenants for which the API asks.
type asked struct{ tenants []string }

func (a *asked) record(tenant string) { a.tenants = append(a.tenants, tenant) }

func (a *asked) Answer(_ context.Context, _ *query.Query, tenant string) (*merge.Answer, error) {
	a.record(tenant)
	return &merge.Answer{}, nil
}

func (a *asked) Identity(_ context.Context, _ *query.Query, tenant string) (string, error) {
	a.record(tenant)
	return "", nil
}

func (a *asked) AnswerAll(_ context.Context, queries []*query.Query, tenant string) (*reader.Answers, error) {
	a.record(tenant)
	answers := &reader.Answers{}
	for range queries {
		answers.Results = append(answers.Results, reader.Result{Answer: &merge.Answer{}})
	}
	return answers, nil
}

func (a *asked) Changes(_ context.Context, _ *changes.Question, tenant string) (*changes.Answer, error) {
	a.record(tenant)
	return nil, reader.ErrNotInPublication
}

func (a *asked) List(_ context.Context, tenant string, _ deadletter.Filter) (deadletter.Page, error) {
	a.record(tenant)
	return deadletter.Page{}, nil
}

func (a *asked) Await(_ context.Context, _ *query.Query, tenant string, _ time.Duration) error {
	a.record(tenant)
	return nil
}

func (a *asked) Get(_ context.Context, tenant, _ string) (deadletter.Letter, error) {
	a.record(tenant)
	return deadletter.Letter{}, nil
}

func (a *asked) Replay(_ context.Context, tenant string, _ deadletter.Filter, _ bool) (deadletter.Replay, error) {
	a.record(tenant)
	return deadletter.Replay{}, nil
}

func (a *asked) Standing(_ context.Context, _ *query.Query, tenant string) (string, error) {
	a.record(tenant)
	return "", nil
}

// TestRequestsAreOfTheirTenant checks that requests are answered for the tenant of the principal,
// whatever else they say.
func TestRequestsAreOfTheirTenant(t *testing.T) {
	t.Parallel()
	all := &asked{}
	api := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Answerer = all
		p.DeadLetters = all
		p.Changes = all
		p.Cap = func(tenant, _, _ string) *openapi.Cap {
			all.record(tenant)
			return nil
		}
	})
	const day = "?view=flights&from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z"
	for _, r := range [][2]string{
		{"GET", "/v1/query" + day}, {"HEAD", "/v1/stream" + day}, {"POST", "/v1/query"}, {"POST", "/v1/queries"},
		{"GET", "/v1/views"}, {"GET", "/v1/views/flights"}, {"GET", "/v1/dead-letters"},
		{"GET", "/v1/dead-letters/0-1-0"}, {"POST", "/v1/dead-letters/replays"},
		{"GET", "/v1/changes?view=flights&from_publication=16"},
	} {
		for _, tenant := range []string{"acme", "rival"} {
			all.tenants = nil
			body := `{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-01-02T00:00:00Z"}`
			if r[1] == "/v1/queries" {
				body = `{"queries":[` + body + `]}`
			}
			req := httptest.NewRequest(r[0], r[1], strings.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Tenant", "default")
			w := httptest.NewRecorder()
			serveMux(api).ServeHTTP(w,
				req.WithContext(access.NewContext(t.Context(), access.Principal{Tenant: tenant, Scopes: access.Query})))
			if others := slices.DeleteFunc(slices.Clone(all.tenants),
				func(name string) bool { return name == tenant }); len(all.tenants) == 0 || len(others) > 0 {
				t.Errorf("%s %s of %s: status %d, asked for %q", r[0], r[1], tenant, w.Code, all.tenants)
			}
		}
	}
}
