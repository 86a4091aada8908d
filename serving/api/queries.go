package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/encode"
	"recount/serving/reader"
)

// modeSeveral is the mode of requests with several queries in the metrics of queries.
const modeSeveral query.Mode = "several"

// severalQueries is the body of POST /v1/queries. A query that cannot be read has an error in its place.
type severalQueries struct {
	queries []*query.Query
	errs    []error
}

// postQueries answers several queries from one publication, with live parts of one moment.
func (a *API) postQueries(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	err := a.runQueries(w, r)
	a.metrics.observe(modeSeveral, statusOf(r, err), began)
	return err
}

func (a *API) runQueries(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	f, err := chooseFormat(r, r.URL.RawQuery, formats[:1])
	if err != nil {
		return err
	}
	if err := checkOnlyFormat(r.URL.RawQuery); err != nil {
		return err
	}
	body, _, done, err := a.readBody(w, r, "the queries", queryMedia[0])
	if err != nil {
		return err
	}
	defer done()
	s, err := parseSeveral(body, a.parts.Now())
	if err != nil {
		return err
	}
	var until time.Time
	for i, q := range s.queries {
		if s.errs[i] == nil {
			s.errs[i] = checkExplain(q, f, principal)
		}
		if s.errs[i] == nil {
			var patient time.Time
			if patient, s.errs[i] = a.await(r.Context(), q, principal.Tenant); patient.After(until) {
				until = patient
			}
		}
	}
	return a.gatedFor(len(s.queries), until, func(w http.ResponseWriter, r *http.Request) error {
		answers, err := a.answerSeveral(r, s, principal.Tenant)
		if err != nil {
			return err
		}
		defer answers.Close()
		w.Header().Set("Content-Type", f.media)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Add("Vary", "Accept")
		return a.writeSeveral(w, answers.Results)
	})(w, r)
}

// answerSeveral returns a result for each query, also for those that could not be read.
func (a *API) answerSeveral(r *http.Request, s *severalQueries, tenant string) (*reader.Answers, error) {
	var asked []*query.Query
	for i, q := range s.queries {
		if s.errs[i] == nil {
			asked = append(asked, q)
		}
	}
	answers := &reader.Answers{}
	if len(asked) > 0 {
		var err error
		if answers, err = a.parts.Answerer.AnswerAll(r.Context(), asked, tenant); err != nil {
			return nil, err
		}
	}
	results := answers.Results
	answers.Results = nil
	for _, err := range s.errs {
		result := reader.Result{Err: err}
		if err == nil {
			result = results[0]
			results = results[1:]
		}
		answers.Results = append(answers.Results, result)
	}
	return answers, nil
}

// writeSeveral writes a list with an answer or a problem for each query.
func (a *API) writeSeveral(w http.ResponseWriter, results []reader.Result) error {
	write := func(text string) error {
		_, err := io.WriteString(w, text)
		return clientGone(err)
	}
	if err := write(`{"answers":[`); err != nil {
		return err
	}
	for i, result := range results {
		if i > 0 {
			if err := write(","); err != nil {
				return err
			}
		}
		if err := a.writeResult(w, result); err != nil {
			return err
		}
	}
	return write("]}\n")
}

func (a *API) writeResult(w http.ResponseWriter, result reader.Result) error {
	if result.Err == nil {
		a.metrics.rows.Observe(float64(result.Answer.Rows()))
		return clientGone(encode.JSON(w, result.Answer))
	}
	_, err := fmt.Fprintf(w, `{"problem":%s}`, problemOf(result.Err).JSON(problem.RequestID(w)))
	return clientGone(err)
}

// parseSeveral reads the body of POST /v1/queries. Its error is about the body as a whole.
func parseSeveral(body []byte, now time.Time) (*severalQueries, error) {
	if !utf8.Valid(body) {
		return nil, invalid("queries", "not valid UTF-8")
	}
	members, err := readMembers(body, "queries")
	if err != nil {
		return nil, err
	}
	var asOf *uint64
	var list []json.RawMessage
	for name, raw := range members {
		switch name {
		case "as_of":
			asOf, err = memberPublication(raw)
		case "queries":
			list, err = queryList(raw)
		default:
			err = invalid("queries", "unknown field %q; the body has queries, and perhaps as_of", name)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, invalid("queries", "write a list of 1 to %d queries, each as in POST /v1/query", query.MaxQueries)
	}
	s := &severalQueries{}
	for _, raw := range list {
		q, err := query.Parse(raw, now)
		switch {
		case err != nil:
		case q.AsOf != nil:
			err = invalid("as_of", "write it once, beside queries: all of them are answered from one publication")
		case q.Cursor != "":
			err = invalid("cursor", "pages are asked for one query at a time, with POST /v1/query")
		default:
			q.AsOf = asOf
		}
		s.queries = append(s.queries, q)
		s.errs = append(s.errs, err)
	}
	return s, nil
}

// memberPublication returns the number of a publication, or nil for null.
func memberPublication(raw []byte) (*uint64, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return nil, invalid("as_of", "write the number of a publication")
	}
	return &n, nil
}

// queryList returns the elements of a list of queries. It stops at the first that is too many.
func queryList(raw []byte) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil, invalid("queries", "write a list of queries")
	}
	var out []json.RawMessage
	for d.More() {
		if len(out) == query.MaxQueries {
			return nil, invalid("queries", "more than %d queries; send them in several requests, with as_of for the "+
				"same publication", query.MaxQueries)
		}
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return nil, invalid("queries", "%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		out = append(out, element)
	}
	return out, nil
}
