package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/encode"
	"recount/serving/merge"
)

// formMedia is the media type of URL parameters in a body.
const formMedia = "application/x-www-form-urlencoded"

var queryMedia = []string{"application/json", formMedia}

func (a *API) postQuery(w http.ResponseWriter, r *http.Request) error {
	return a.observeQuery(w, r, func() (*query.Query, string, error) {
		body, media, done, err := a.readBody(w, r, "the query", queryMedia...)
		if err != nil {
			return nil, "", err
		}
		defer done()
		if err := checkOnlyFormat(r.URL.RawQuery); err != nil {
			return nil, "", err
		}
		if media == formMedia { // The parameters of a GET that would be too long for an address.
			q, err := parseParameters(string(body), a.parts.Now())
			return q, cmp.Or(r.URL.RawQuery, string(body)), err
		}
		q, err := query.Parse(body, a.parts.Now())
		return q, r.URL.RawQuery, err
	})
}

func (a *API) getQuery(w http.ResponseWriter, r *http.Request) error {
	return a.observeQuery(w, r, func() (*query.Query, string, error) {
		q, err := parseParameters(r.URL.RawQuery, a.parts.Now())
		return q, r.URL.RawQuery, err
	})
}

// checkOnlyFormat refuses parameters that have no effect because the query is in the body.
func checkOnlyFormat(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return invalid("query", "%v", err)
	}
	for name := range values {
		if name != "format" {
			return invalid("query", "unknown parameter %.50q; with POST the query is in the body, and the address may "+
				"have format", name)
		}
	}
	return nil
}

// observeQuery runs a query and records its time, mode and status in the metrics. Parse returns the query, and the URL
// parameters that may name the format.
func (a *API) observeQuery(w http.ResponseWriter, r *http.Request,
	parse func() (q *query.Query, parameters string, err error)) error {
	began := time.Now()
	mode := query.Mode("")
	status := http.StatusOK
	q, parameters, err := parse()
	if err == nil {
		status, err = a.runQuery(w, r, q, parameters)
		mode = q.Mode
	}
	if err != nil || r.Context().Err() != nil {
		status = statusOf(r, err)
	}
	a.metrics.observe(mode, status, began)
	return err
}

// runQuery answers a query with the status 200, or 304 if the client has the answer.
func (a *API) runQuery(w http.ResponseWriter, r *http.Request, q *query.Query, parameters string) (int, error) {
	status := http.StatusOK
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return status, errNoPrincipal
	}
	f, err := chooseFormat(r, parameters, formats)
	if err != nil {
		return status, err
	}
	if err := checkExplain(q, f, principal); err != nil {
		return status, err
	}
	until, err := a.await(r.Context(), q, principal.Tenant)
	if err != nil {
		return status, err
	}
	err = a.gatedFor(1, until, func(w http.ResponseWriter, r *http.Request) error {
		tag, isNotModified, err := a.isNotModified(r, q, f, principal.Tenant)
		if err != nil {
			return err
		}
		if isNotModified {
			status = http.StatusNotModified
			writeNotModified(w, tag)
			return nil
		}
		answer, err := a.parts.Answerer.Answer(r.Context(), q, principal.Tenant)
		if err != nil {
			return err
		}
		defer answer.Close()
		tag = a.entityTag(r, answer.Identity, f)
		if tag != "" && hasTag(knownTags(r), tag) {
			status = http.StatusNotModified
			writeNotModified(w, tag)
			return nil
		}
		a.metrics.rows.Observe(float64(answer.Rows()))
		return write(w, f, answer, tag)
	})(w, r)
	return status, err
}

// checkExplain refuses an explanation to who may not see the numbers of all tenants, and in a format without a place
// for it.
func checkExplain(q *query.Query, f format, principal access.Principal) error {
	switch {
	case !q.Explain:
		return nil
	case !principal.Scopes.Has(access.Admin):
		return problem.New(http.StatusForbidden, problem.Forbidden,
			"explain: an explanation is about the events of all tenants, so it needs a key with scope admin")
	case f.media != formats[0].media:
		return invalid("explain", "only an answer in JSON has a place for it; ask with Accept: application/json")
	}
	return nil
}

// write sends the answer. The accuracy and the totals are also sent as headers, for formats that have no place
// for them.
func write(w http.ResponseWriter, f format, answer *merge.Answer, tag string) error {
	accuracy, err := json.Marshal(answer.Accuracy)
	if err != nil {
		return fmt.Errorf("encode accuracy: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	setCaching(h, tag)
	h.Add("Vary", "Accept")
	h.Set("Recount-Accuracy", string(accuracy))
	if answer.Next != "" {
		h.Set("Recount-Next", answer.Next)
	}
	if answer.Totals != nil {
		h.Set("Recount-Totals", string(encode.Totals(answer)))
	}
	return clientGone(f.write(w, answer))
}

// smallBody is how many bytes of a query's body are read without a limit on the number of such
// bodies. Nearly all queries are smaller. A client that sends slowly holds no more memory than this.
const smallBody = 64 << 10

// readBody reads a body of at most query.MaxBody bytes in one of the media types. MaxConcurrent bodies at the same time
// may be larger than smallBody. The caller must call done after parsing, so that another may follow.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, what string, allowed ...string) (body []byte,
	media string, done func(), err error) {
	media, _, err = mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(allowed, media) || len(r.Header["Content-Type"]) > 1 {
		return nil, "", nil, problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedMediaType,
			"send "+what+" as Content-Type: "+strings.Join(allowed, " or "))
	}
	if e := strings.Join(r.Header["Content-Encoding"], ","); e != "" && e != "identity" {
		return nil, "", nil, problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedMediaType,
			"send "+what+" without Content-Encoding")
	}
	rest := problem.LimitBody(w, r.Body, query.MaxBody)
	if body, err = io.ReadAll(io.LimitReader(rest, smallBody)); err != nil || len(body) < smallBody {
		return body, media, func() {}, bodyError(err)
	}
	select {
	case a.large <- struct{}{}:
		done = func() { <-a.large }
	default:
		return nil, "", nil, errBusy
	}
	large := bytes.NewBuffer(body)
	if _, err := large.ReadFrom(rest); err != nil {
		done()
		discard(r.Body)
		return nil, "", nil, bodyError(err)
	}
	return large.Bytes(), media, done, nil
}

// mostDiscarded is how much of a body is read that is too large. Many clients read an answer only after they have sent
// the whole body, and see a broken pipe if the server stops reading before.
const mostDiscarded = 4 * query.MaxBody

// discard reads the rest of a body that is not used. An error changes nothing: the answer is about the body anyway.
func discard(body io.Reader) { _, _ = io.CopyN(io.Discard, body, mostDiscarded) }

// bodyError returns the problem for an error of reading a body, or nil.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge,
			fmt.Sprintf("a query may have at most %d bytes", tooLarge.Limit))
	}
	return problem.New(http.StatusBadRequest, problem.UnreadableBody, "the body did not arrive completely and in time")
}
