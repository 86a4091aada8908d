package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"recount/schemas/problem"
)

// refusal is a request that a server must refuse, with the status and code of the answer.
type refusal struct {
	admin        bool // admin sends the request to the admin address.
	method, path string
	key          string
	header       http.Header
	body         string
	status       int
	code         problem.Code
}

// testRefusals sends requests that a server must refuse, of every kind. Each answer must be a
// problem that no cache may keep, with the id of its request and a code of the OpenAPI document.
func (g *guardedServer) testRefusals() {
	g.t.Helper()
	refusals := slices.Concat(g.refusedOperations(), g.refusedEvents(), g.refusedReads())
	for i, r := range refusals {
		g.testRefusal(fmt.Sprintf("refusal-%d", i), r)
	}
	if len(refusals) < 80 {
		g.t.Errorf("only %d refusals were tested", len(refusals))
	}
}

func (g *guardedServer) testRefusal(id string, r refusal) {
	g.t.Helper()
	url := g.url
	if r.admin {
		url = g.admin
	}
	req, err := http.NewRequestWithContext(withKey(g.t.Context(), r.key), r.method, url+r.path,
		strings.NewReader(r.body))
	if err != nil {
		g.t.Fatal(err)
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	authorize(req)
	req.Header.Set(problem.RequestIDHeader, id)
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	var p problem.Problem
	err = json.NewDecoder(res.Body).Decode(&p)
	switch {
	case err != nil || res.Header.Get("Content-Type") != problem.ContentType:
		g.t.Errorf("%s %s: content type %q, want a problem document: %v", r.method, r.path,
			res.Header.Get("Content-Type"), err)
	case res.StatusCode != r.status || p.Status != r.status || p.Code != r.code:
		g.t.Errorf("%s %s: status %d %+v, want %d %s", r.method, r.path, res.StatusCode, p, r.status, r.code)
	case !slices.Contains(problem.Codes, p.Code) || p.Type != "about:blank" || p.Title == "" || p.Detail == "":
		g.t.Errorf("%s %s: a member of the problem is missing or unknown: %+v", r.method, r.path, p)
	case res.Header.Get("Cache-Control") != "no-store":
		g.t.Errorf("%s %s: no Cache-Control: no-store with %+v", r.method, r.path, p)
	case res.Header.Get(problem.RequestIDHeader) != id || p.RequestID != id:
		g.t.Errorf("%s %s: request ids %q and %q, want %q", r.method, r.path,
			res.Header.Get(problem.RequestIDHeader), p.RequestID, id)
	case (res.Header.Get("Retry-After") == "") == (r.status == http.StatusTooManyRequests):
		g.t.Errorf("%s %s: status %d with Retry-After %q", r.method, r.path, r.status, res.Header.Get("Retry-After"))
	}
}

// refusedOperations returns every documented operation without a key, with an unknown key, with a
// key of another scope, and with a method that it does not have.
func (g *guardedServer) refusedOperations() (all []refusal) {
	for _, op := range operations(g.t) {
		if op.scope == "" {
			continue
		}
		r := refusal{admin: op.scope == "admin", method: op.method, path: strings.ReplaceAll(op.path, "{n}", "1")}
		r.status = http.StatusUnauthorized
		r.code = problem.Unauthorized
		all = append(all, r)
		r.key = "recount_000000000000_00000000000000000000000000000000"
		all = append(all, r)
		r.key = g.ops
		if r.admin {
			r.key = g.acme
		}
		r.status = http.StatusForbidden
		r.code = problem.Forbidden
		if !op.shared {
			all = append(all, r)
		}
		r.key = g.acme
		if r.admin {
			r.key = g.ops
		}
		r.method = http.MethodPatch
		r.status = http.StatusMethodNotAllowed
		r.code = problem.MethodNotAllowed
		if r.path != "/metrics" { // It answers every method.
			all = append(all, r)
		}
	}
	return all
}

// refusedEvents returns requests of events that are refused as a whole.
func (g *guardedServer) refusedEvents() (all []refusal) {
	lines := http.Header{"Content-Type": {"application/x-ndjson"}}
	whole := http.Header{"Content-Type": {"application/json"}}
	compressed := http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"gzip"}}
	twice := http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"gzip, gzip"}}
	for _, r := range []refusal{
		{header: lines, body: "{}\n", status: 400, code: problem.AllRejected},
		{header: whole, body: "[", status: 400, code: problem.InvalidJSON},
		{header: compressed, body: "{}", status: 400, code: problem.InvalidEncoding},
		{header: twice, body: "{}", status: 415, code: problem.UnsupportedEncoding},
		{header: http.Header{"Content-Type": {"text/html"}}, status: 415, code: problem.UnsupportedMediaType},
		{header: lines, body: "{}\n", key: g.limited["few"], status: 429, code: problem.RateLimited},
	} {
		r.method = http.MethodPost
		r.path = "/v1/events"
		if r.key == "" {
			r.key = g.acme
		}
		all = append(all, r)
	}
	return all
}

// refusedReads returns requests for things that do not exist, and wrong requests.
func (g *guardedServer) refusedReads() []refusal {
	const get, post = http.MethodGet, http.MethodPost
	foreign := http.Header{"Origin": {"https://evil.example"}}
	asJSON := http.Header{"Content-Type": {"application/json"}}
	return []refusal{
		{method: get, path: "/v1/nothing", status: 404, code: problem.NotFound},
		{method: get, path: "//v1", status: 404, code: problem.NotFound},
		{admin: true, method: get, path: "/v1/query", status: 404, code: problem.NotFound},
		{method: post, path: "/v1/query", header: foreign, key: g.acme, status: 403, code: problem.CrossOrigin},
		{method: get, path: dayQuery + "&limit=x", key: g.acme, status: 400, code: problem.InvalidQuery},
		{method: get, path: strings.Replace(dayQuery, "page_views", "none", 1), key: g.acme, status: 404,
			code: problem.UnknownView},
		{method: get, path: dayQuery + "&as_of=99", key: g.acme, status: 404, code: problem.UnknownPublication},
		{method: get, path: dayQuery, header: http.Header{"Accept": {"text/html"}}, key: g.acme, status: 406,
			code: problem.NotAcceptable},
		{method: post, path: "/v1/query", key: g.acme, status: 415, code: problem.UnsupportedMediaType},
		{method: post, path: "/v1/query", header: asJSON, key: g.acme, body: strings.Repeat(" ", 5<<20),
			status: 413, code: problem.BodyTooLarge},
		{method: get, path: dayQuery, key: g.limited["rare"], status: 429, code: problem.RateLimited},
		{method: get, path: "/v1/views/none", key: g.acme, status: 404, code: problem.UnknownView},
		{method: get, path: "/v1/events/1?time=noon", key: g.acme, status: 400, code: problem.InvalidQuery},
		{method: get, path: "/v1/events/1?tenant=rival", key: g.acme, status: 400, code: problem.InvalidQuery},
		{method: get, path: "/v1/receipts/none", key: g.acme, status: 400, code: problem.InvalidRequest},
		{method: get, path: "/v1/dead-letters?limit=x", key: g.acme, status: 400, code: problem.InvalidQuery},
		{method: get, path: "/v1/dead-letters/0-1-0", key: g.acme, status: 404, code: problem.UnknownDeadLetter},
		{method: post, path: "/v1/dead-letters/replays?x=1", key: g.acme, status: 400, code: problem.InvalidQuery},
		{method: get, path: "/v1/audit?x=1", key: g.acme, status: 400, code: problem.InvalidRequest},
		{method: get, path: "/v1/audit?tenant=rival", key: g.acme, status: 403, code: problem.Forbidden},
		{admin: true, method: get, path: "/v1/scores", key: g.ops, status: 404, code: problem.NoScores},
		{admin: true, method: get, path: "/v1/publications/x", key: g.ops, status: 400, code: problem.InvalidRequest},
		{admin: true, method: get, path: "/v1/publications/99", key: g.ops, status: 404,
			code: problem.UnknownPublication},
		{admin: true, method: http.MethodPut, path: "/v1/publications/99/pin", key: g.ops, status: 404,
			code: problem.UnknownPublication},
		{admin: true, method: post, path: "/v1/jobs/none/runs", key: g.ops, status: 404, code: problem.UnknownJob},
	}
}
