package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/changes"
	"recount/serving/encode"
	"recount/serving/reader"
)

// Changes says what changed between two publications. *reader.Reader implements it.
type Changes interface {
	Changes(ctx context.Context, q *changes.Question, tenant string) (*changes.Answer, error)
}

// modeChanges is the mode of these questions in the metrics of queries.
const modeChanges query.Mode = "changes"

// changesParameters says of each parameter whether it may be repeated.
var changesParameters = map[string]bool{
	"view": false, "from_publication": false, "to_publication": false, "from": false, "to": false, "granularity": false,
	"time_zone": false, "limit": false, "format": false, "measures": true, "group_by": true, "where": true,
}

// changesFormats are in order of preference.
var changesFormats = []format{{media: "application/json", name: "json"}, {media: "text/csv", name: "csv"},
	{media: "application/x-ndjson", name: "ndjson"}}

// writeChanges has the functions that write the formats.
var writeChanges = map[string]func(io.Writer, *changes.Answer) error{
	"json": encode.ChangesJSON, "csv": encode.ChangesCSV, "ndjson": encode.ChangesNDJSON,
}

func (a *API) getChanges(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	err := a.runChanges(w, r)
	a.metrics.observe(modeChanges, statusOf(r, err), began)
	return err
}

func (a *API) runChanges(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	if a.parts.Changes == nil {
		return problem.New(http.StatusNotFound, problem.NotFound, "this process does not compare publications")
	}
	f, err := chooseFormat(r, r.URL.RawQuery, changesFormats)
	if err != nil {
		return err
	}
	q, err := parseChanges(r.URL.RawQuery, a.parts.Now())
	if err != nil {
		return err
	}
	return a.gated(func(w http.ResponseWriter, r *http.Request) error {
		answer, err := a.parts.Changes.Changes(r.Context(), q, principal.Tenant)
		if err != nil {
			return err
		}
		defer answer.Close()
		a.metrics.rows.Observe(float64(answer.Rows()))
		summary, err := encode.ChangesSummary(answer)
		if err != nil {
			return fmt.Errorf("encode the summary: %w", err)
		}
		h := w.Header()
		h.Set("Content-Type", f.media)
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "Accept")
		h.Set("Recount-Changes", string(summary))
		return clientGone(writeChanges[f.name](w, answer))
	})(w, r)
}

// parseChanges reads a question from URL parameters.
func parseChanges(raw string, now time.Time) (*changes.Question, error) {
	values, err := knownParameters(raw, changesParameters)
	if err != nil {
		return nil, err
	}
	if values.Get("view") == "" {
		return nil, &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidQuery, Field: "view",
			Detail: "it is required; GET /v1/views lists the views"}
	}
	p := &parameters{values: values}
	q := &changes.Question{Query: query.Query{View: values.Get("view"), Measures: p.list("measures"),
		Granularity: values.Get("granularity"), TimeZone: values.Get("time_zone"),
		Limit: p.limit(query.DefaultLimit, changes.MaxLimit)},
		FromPublication: p.publication("from_publication"), ToPublication: p.publication("to_publication")}
	if q.Ungrouped = values.Has("group_by") && strings.Join(values["group_by"], "") == ""; !q.Ungrouped {
		q.GroupBy = p.list("group_by")
	}
	q.Where = p.conditions("where", query.ParseWhere)
	p.setRange(&q.Query, now)
	return q, p.err
}

// publication reads the number of a publication. It returns 0 if there is none.
func (p *parameters) publication(name string) uint64 {
	if !p.values.Has(name) {
		return 0
	}
	n, err := strconv.ParseUint(p.values.Get(name), 10, 64)
	if err != nil || n == 0 {
		p.fail(invalid(name, "%q is not the number of a publication", p.values.Get(name)))
	}
	return n
}

// problemOfPublication returns the problem with which an error about one of two publications is answered.
func problemOfPublication(e *reader.PublicationError) *problem.Problem {
	p := *problemOf(e.Err)
	p.Field = e.Field
	p.Detail = fmt.Sprintf("publication %d: %s", e.N, p.Detail)
	if errors.Is(e.Err, query.ErrCollected) {
		p.Detail += "; only the newest publications are kept, and those that were pinned in time with " +
			"PUT /v1/publications/{n}/pin"
	}
	return &p
}
