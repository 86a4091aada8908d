package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/schemas/access"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
)

// explained answers with what it was asked.
type explained struct{ err error }

func (e explained) Explain(_ context.Context, tenant, source, id string,
	at time.Time) (*openapi.Explanation, error) {
	return &openapi.Explanation{ID: fmt.Sprint(tenant, "/", source, "/", id, "/", at.Unix())}, e.err
}

func (e explained) Receipt(_ context.Context, receipt string) (*openapi.Receipt, error) {
	return &openapi.Receipt{Events: len(receipt)}, e.err
}

func (e explained) List(_ context.Context, s query.EventSelection) (*openapi.EventPage, error) {
	asked := fmt.Sprint(s.Tenant, " ", s.Event.Name, " ", s.From, " ", s.Limit, " ", s.Cursor, " ", s.Where.Test != nil)
	return &openapi.EventPage{Events: []openapi.StoredEvent{}, Missing: []string{asked}}, e.err
}

// TestEvents checks what the routes of events pass on. The tenant is that of the key, and no parameter can name one.
func TestEvents(t *testing.T) {
	t.Parallel()
	with := func(e Events) *API {
		return newAPI(t, newLayers(), func(_ *Config, p *Parts) { p.Events = e })
	}
	for _, c := range []struct {
		events Events
		target string
		status int
		code   problem.Code
	}{
		{explained{}, "/v1/events/a%2Fb?source=s&time=1970-01-01T00:00:05Z", http.StatusOK, ""},
		{explained{}, "/v1/receipts/abc", http.StatusOK, ""},
		{explained{}, "/v1/events/a?tenant=b", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events/a?source=b&source=c", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events/a?time=noon", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/receipts/abc?x=1", http.StatusBadRequest, problem.InvalidQuery},
		{explained{fmt.Errorf("read: %w", context.DeadlineExceeded)}, "/v1/events/a", http.StatusGatewayTimeout,
			problem.QueryTimeout},
		{explained{}, "/v1/events?type=flight&from=2001-01-01&to=now&where=origin+%3D+ORD&limit=5000&cursor=x",
			http.StatusOK, ""},
		{explained{}, "/v1/events", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events?type=nope", http.StatusNotFound, problem.UnknownEventType},
		{explained{}, "/v1/events?type=recount.dead_letter", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events?type=flight&limit=5001", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events?type=flight&tenant=b", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events?type=flight&type=b", http.StatusBadRequest, problem.InvalidQuery},
		{explained{}, "/v1/events?type=flight&from=today&to=2001-01-01", http.StatusBadRequest,
			problem.InvalidQuery},
		{explained{}, "/v1/events?type=flight&where=nope+%3D+1", http.StatusBadRequest, problem.InvalidQuery},
		{explained{fmt.Errorf("list: %w", context.DeadlineExceeded)}, "/v1/events?type=flight",
			http.StatusGatewayTimeout, problem.QueryTimeout},
		{nil, "/v1/events?type=flight", http.StatusNotFound, problem.NotFound},
		{nil, "/v1/events/a", http.StatusNotFound, problem.NotFound},
		{nil, "/v1/receipts/a", http.StatusNotFound, problem.NotFound},
	} {
		res, body := call(with(c.events), http.MethodGet, c.target, "")
		if res.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.target, res.StatusCode, c.status, body)
		}
		if c.code != "" {
			if p := decodeProblem(t, res, body); p.Code != c.code {
				t.Errorf("%s: code %s, want %s", c.target, p.Code, c.code)
			}
		}
	}
	_, body := call(with(explained{}), http.MethodGet, "/v1/events/a%2Fb?source=s&time=1970-01-01T00:00:05Z", "")
	if want := `"id":"` + access.Local().Tenant + `/s/a/b/5"`; !strings.Contains(body, want) {
		t.Errorf("got %s, want %s", body, want)
	}
	_, body = call(with(explained{}), http.MethodGet,
		"/v1/events?type=flight&from=1970-01-01T00:00:01Z&where=origin+%3D+ORD&limit=7&cursor=x", "")
	if want := access.Local().Tenant + " flight 1000000 7 x true"; !strings.Contains(body, want) {
		t.Errorf("got %s, want %s", body, want)
	}
	res, body := call(with(explained{}), http.MethodPost, "/v1/events", "[]")
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a process without ingest: status %d: %s", res.StatusCode, body)
	}
}
