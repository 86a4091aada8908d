package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/merge"
	"recount/serving/reader"
)

// TestSeveralQueries: each answer is that of the query alone, and a wrong query has a problem in its place.
func TestSeveralQueries(t *testing.T) {
	t.Parallel()
	admitted := 0
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Admit = func(_ string, queries int) time.Duration {
			admitted += queries
			return 0
		}
	})
	exact := strings.Replace(hourly, "{", `{"mode":"exact",`, 1)
	body := `{"as_of":17,"queries":[` + hourly + `,{"views":"x"},` + exact + `,{"view":"trains"},` +
		strings.Replace(hourly, "{", `{"as_of":17,`, 1) + `]}`
	res, got := call(a, "POST", "/v1/queries", body)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" || admitted != 5 {
		t.Errorf("%s, %s, %d queries admitted: %s", res.Status, res.Header.Get("Content-Type"), admitted, got)
	}
	var answers struct {
		Answers []json.RawMessage
	}
	if err := json.Unmarshal([]byte(got), &answers); err != nil || len(answers.Answers) != 5 {
		t.Fatalf("%v: %s", err, got)
	}
	for i, q := range map[int]string{0: hourly, 2: exact} {
		_, want := call(a, "POST", "/v1/query", strings.Replace(q, "{", `{"as_of":17,`, 1))
		if string(answers.Answers[i]) != strings.TrimSpace(want) {
			t.Errorf("answer %d: got %s, want %s", i, answers.Answers[i], want)
		}
	}
	for i, want := range map[int]problem.Problem{
		1: {Status: 400, Code: problem.InvalidQuery, Field: "views"},
		3: {Status: 404, Code: problem.UnknownView, Field: "view"},
		4: {Status: 400, Code: problem.InvalidQuery, Field: "as_of"},
	} {
		var got struct{ Problem problem.Problem }
		if err := json.Unmarshal(answers.Answers[i], &got); err != nil || got.Problem.Status != want.Status ||
			got.Problem.Code != want.Code || got.Problem.Field != want.Field || got.Problem.Title == "" {
			t.Errorf("answer %d: got %s, want %+v", i, answers.Answers[i], want)
		}
	}
	checkFree(t, a)
}

// TestSeveralQueriesAreBounded lists bodies that are refused as a whole.
func TestSeveralQueriesAreBounded(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	many := func(n int) string { return `{"queries":[` + hourly + strings.Repeat(","+hourly, n-1) + `]}` }
	for _, c := range []struct {
		body    string
		headers []string
		status  int
		code    problem.Code
		field   string
	}{
		{many(query.MaxQueries), nil, 200, "", ""},
		{many(query.MaxQueries + 1), nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":[]}`, nil, 400, problem.InvalidQuery, "queries"},
		{`{}`, nil, 400, problem.InvalidQuery, "queries"},
		{`[]`, nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":{}}`, nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":[{]}`, nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":[` + hourly + `],"mode":"exact"}`, nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":[` + hourly + `],"queries":[` + hourly + `]}`, nil, 400, problem.InvalidQuery, "queries"},
		{`{"queries":[` + hourly + `],"as_of":-1}`, nil, 400, problem.InvalidQuery, "as_of"},
		{`{"queries":[` + hourly + `],"as_of":16}`, nil, 410, problem.PublicationCollected, ""},
		{`{"queries":[` + hourly + `],"as_of":null}`, nil, 200, "", ""},
		{many(1), []string{"Accept", "text/csv"}, 406, problem.NotAcceptable, ""},
		{many(1), []string{"Content-Type", formMedia}, 415, problem.UnsupportedMediaType, ""},
	} {
		res, body := call(a, "POST", "/v1/queries", c.body, c.headers...)
		if c.status == 200 && res.StatusCode == 200 {
			continue
		}
		if p := decodeProblem(t, res, body); p.Status != c.status || p.Code != c.code || p.Field != c.field {
			t.Errorf("%.90s: got %d %s %q: %s", c.body, p.Status, p.Code, p.Field, p.Detail)
		}
	}
}

// TestSeveralQueriesFailTogether: what is no mistake of a query is answered with its own status.
func TestSeveralQueriesFailTogether(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) { return nil, reader.ErrBatch })
	})
	res, body := call(a, "POST", "/v1/queries", `{"queries":[`+hourly+`]}`)
	if p := decodeProblem(t, res, body); p.Status != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %s", body)
	}
	local := access.Local()
	local.Scopes = access.Query
	s, err := parseSeveral([]byte(`{"queries":[`+strings.Replace(hourly, "{", `{"explain":true,`, 1)+`]}`), start)
	if err != nil || problemOf(checkExplain(s.queries[0], formats[0], local)).Status != http.StatusForbidden {
		t.Errorf("an explanation for a key without scope admin: got %v", err)
	}
}
