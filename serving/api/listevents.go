package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/problem"
	"recount/schemas/query"
)

// eventParameters says of each parameter of GET /v1/events whether it may be repeated.
var eventParameters = map[string]bool{"type": false, "from": false, "to": false, "where": true, "limit": false,
	"cursor": false}

func (a *API) listEvents(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	s, err := a.parseSelection(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if a.parts.Events == nil {
		return errNoEvents
	}
	s.Tenant = principal.Tenant
	page, err := a.parts.Events.List(r.Context(), *s)
	if errors.Is(err, context.DeadlineExceeded) {
		return problem.New(http.StatusGatewayTimeout, problem.QueryTimeout, "the list took longer than query.timeout; "+
			"give a shorter range with from and to, or a lower limit")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, page)
}

// sendEvents hands events to the layer that accepts them.
func (a *API) sendEvents(w http.ResponseWriter, r *http.Request) error {
	if _, ok := access.FromContext(r.Context()); !ok {
		return errNoPrincipal
	}
	if a.parts.Ingest == nil {
		return problem.New(http.StatusNotFound, problem.NotFound, "this process does not accept events")
	}
	a.parts.Ingest.ServeHTTP(w, r)
	return nil
}

// parseSelection reads URL parameters.
func (a *API) parseSelection(raw string) (*query.EventSelection, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query", "%v", err)
	}
	for name, v := range values {
		repeatable, ok := eventParameters[name]
		switch {
		case !ok:
			return nil, invalid("query", "unknown parameter %q", name)
		case !utf8.ValidString(strings.Join(v, "")):
			return nil, invalid("query", "parameter %q is not valid UTF-8", name)
		case !repeatable && len(v) > 1:
			return nil, invalid("query", "parameter %s is given %d times; give it once", name, len(v))
		}
	}
	name := values.Get("type")
	event := a.parts.Catalog.Catalog().Events[name]
	switch {
	case name == "":
		return nil, invalid("type", "name an event type; GET /v1/event-types lists them")
	case strings.HasPrefix(name, catalog.ReservedPrefix):
		return nil, invalid("type", "%s is recount's own; GET /v1/dead-letters lists rejected events", name)
	case event == nil:
		return nil, eventTypes.missing()
	}
	p := &parameters{values: values}
	s := &query.EventSelection{Event: event, Limit: p.limit(query.DefaultEvents, query.MaxEvents), To: math.MaxInt64,
		Cursor: values.Get("cursor")}
	where := p.conditions("where", query.ParseWhere)
	q := &query.Query{}
	if p.setRange(q, a.parts.Now()); p.err != nil {
		return nil, p.err
	}
	if !q.From.IsZero() {
		s.From = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		s.To = q.To.UnixMicro()
	}
	if s.From >= s.To {
		return nil, invalid("to", "must be after from")
	}
	asked := url.Values{"type": {name}, "from": {values.Get("from")}, "to": {values.Get("to")},
		"where": values["where"]}
	s.Asked = asked.Encode()
	s.Where, err = query.EventPredicate(event, where)
	return s, err
}
