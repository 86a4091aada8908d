package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"recount/schemas/access"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
)

// Events lists accepted events, and explains them and rejected ones.
type Events interface {
	// List returns a page of events. It claims the memory for it.
	List(ctx context.Context, s query.EventSelection) (*openapi.EventPage, error)
	// Explain returns what became of an event of a tenant. A time restricts the search to the buckets around it.
	Explain(ctx context.Context, tenant, source, id string, at time.Time) (*openapi.Explanation, error)
	// Receipt returns how far the events of a receipt have come.
	Receipt(ctx context.Context, receipt string) (*openapi.Receipt, error)
}

// explainParameters are the parameters of an explanation.
var explainParameters = []string{"source", "time"}

func (a *API) getEvent(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	values, err := onceEach(r.URL.RawQuery, explainParameters)
	if err != nil {
		return err
	}
	p := &parameters{values: values}
	at := p.time("time")
	if p.err != nil {
		return p.err
	}
	if a.parts.Events == nil {
		return errNoEvents
	}
	explanation, err := a.parts.Events.Explain(r.Context(), principal.Tenant, values.Get("source"), r.PathValue("id"),
		at)
	if errors.Is(err, context.DeadlineExceeded) {
		return problem.New(http.StatusGatewayTimeout, problem.QueryTimeout, "the search took longer than "+
			"query.timeout; give the time of the event, so that only the buckets around it are searched")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, explanation)
}

func (a *API) getReceipt(w http.ResponseWriter, r *http.Request) error {
	if _, err := onceEach(r.URL.RawQuery, nil); err != nil {
		return err
	}
	if a.parts.Events == nil {
		return errNoEvents
	}
	receipt, err := a.parts.Events.Receipt(r.Context(), r.PathValue("receipt"))
	if err != nil {
		return err
	}
	return writeJSON(w, receipt)
}

// errNoEvents refuses a request to a process that was built without a lake.
var errNoEvents = problem.New(http.StatusNotFound, problem.NotFound, "this process does not explain events")

// onceEach reads URL parameters, each of which must be known and may be given once.
func onceEach(raw string, known []string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query", "%v", err)
	}
	for name, v := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid("query", "unknown parameter %q", name)
		case len(v) > 1:
			return nil, invalid("query", "parameter %s is given %d times; give it once", name, len(v))
		}
	}
	return values, nil
}
