package openapitest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/schemas/problem"
)

const (
	aView    = `{"name":"v","views":["w"],"declaration":{"fields":{"f":"int64","g":{"type":"string"}}}}`
	aProblem = `{"type":"about:blank","title":"t","status":404,"code":"not_found","detail":"d","request_id":"r"}`
)

// TestCheck: an answer that differs in any way is an error that names the place.
func TestCheck(t *testing.T) {
	t.Parallel()
	const path = "/v1/event-types/v"
	for _, c := range []struct {
		name, method, path string
		status             int
		media, body, want  string
	}{
		{"right", "GET", path, 200, "application/json", aView, ""},
		{"HEAD", "HEAD", path, 200, "application/json", "", ""},
		{"a refusal", "GET", path, 404, problem.ContentType, aProblem, ""},
		{"no such operation", "PATCH", path, 405, problem.ContentType, aProblem, ""},
		{"no body", "DELETE", path, 204, "", "", ""},
		{"lines", "POST", "/v1/verify", 200, "application/x-ndjson", "{}", ""},
		{"of two templates the one with fixed parts", "POST", "/v1/dead-letters/replays", 200, "application/json",
			`{"replayed":1,"accepted":1,"failed":[]}`, ""},
		{"a body without one", "DELETE", path, 204, "", "x", "has a body"},
		{"an operation that nothing describes", "PATCH", path, 200, "application/json", aView, "not in the document"},
		{"a status that nothing describes", "GET", path, 418, problem.ContentType, aProblem, "status 418"},
		{"another content type", "GET", path, 200, "text/plain", aView, "text/plain"},
		{"no JSON", "GET", path, 200, "application/json", "{", "not JSON"},
		{"a missing member", "GET", path, 200, "application/json", strings.Replace(aView, "name", "nom", 1),
			"/name is missing"},
		{"a further member", "GET", path, 200, "application/json", `{"x":1,` + aView[1:], "/x is not in the document"},
		{"another type", "GET", path, 200, "application/json", strings.Replace(aView, `"w"`, "7", 1), "/views/0: "},
		{"null", "GET", path, 200, "application/json", strings.Replace(aView, `["w"]`, "null", 1), "/views: "},
		{"no pattern", "GET", path, 200, "application/json", strings.Replace(aView, "int64", "int", 1), "oneOf"},
		{"an unknown code", "GET", path, 404, problem.ContentType, strings.Replace(aProblem, "not_found", "x", 1),
			"/code: "},
		{"more than 32 bits", "GET", path, 404, problem.ContentType, strings.Replace(aProblem, "404", "4294967296", 1),
			"/status: "},
	} {
		var body []byte
		if c.body != "" {
			body = []byte(c.body)
		}
		err := Check(c.method, c.path, c.status, http.Header{"Content-Type": {c.media}}, body)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestTransport: a wrong answer of a recount server is an error of the request, and other answers are passed on whole.
func TestTransport(t *testing.T) {
	t.Parallel()
	ours := true
	body := aView
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ours {
			w.Header().Set(problem.RequestIDHeader, "r")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body) // The client has gone if the test has failed.
	}))
	defer s.Close()
	c := http.Client{Transport: Transport(s.Client().Transport)}
	get := func() (string, error) {
		answer, err := c.Get(s.URL + "/v1/event-types/v")
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		return string(raw), err
	}
	if got, err := get(); got != aView || err != nil {
		t.Errorf("right: %q, %v", got, err)
	}
	body = "{}"
	if _, err := get(); err == nil || !strings.Contains(err.Error(), "/name is missing") {
		t.Errorf("wrong: %v", err)
	}
	ours = false
	if got, err := get(); got != body || err != nil {
		t.Errorf("another server's: %q, %v", got, err)
	}
}
