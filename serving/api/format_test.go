package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestFormatParameter: the parameter format says the same as Accept, and wins over it.
func TestFormatParameter(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	form := url.Values{"view": {"flights"}, "measures": {"n,tails"}, "from": {"2001-01-01T00:00:00Z"},
		"to": {"2001-01-01T02:00:00Z"}, "granularity": {"1h"}, "group_by": {"origin"}}.Encode()
	for _, f := range formats {
		want, wantBody := call(a, "POST", "/v1/query", hourly, "Accept", f.media)
		for name, c := range map[string][]string{
			"GET":                          {"GET", "/v1/query?format=" + f.name + "&" + form, ""},
			"POST":                         {"POST", "/v1/query?format=" + f.name, hourly},
			"a form":                       {"POST", "/v1/query", form + "&format=" + f.name},
			"a form and another in itself": {"POST", "/v1/query?format=" + f.name, form + "&format=csv"},
		} {
			headers := []string{"Accept", "text/html"}
			if strings.HasPrefix(name, "a form") {
				headers = append(headers, "Content-Type", formMedia)
			}
			res, body := call(a, c[0], c[1], c[2], headers...)
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != want.Header.Get("Content-Type") ||
				body != wantBody {
				t.Errorf("%s as %s: got %s, %s: %q, want %q", name, f.name, res.Status, res.Header.Get("Content-Type"),
					body, wantBody)
			}
		}
	}
	for target, field := range map[string]string{"?format=xml": "format", "?format=": "format", "?format=CSV": "format",
		"?format=csv&format=csv": "query", "?limit=3": "query", "?format=%zz": "query"} {
		for _, path := range []string{"/v1/query", "/v1/queries"} {
			body := map[string]string{"/v1/query": hourly, "/v1/queries": `{"queries":[` + hourly + `]}`}[path]
			res, got := call(a, "POST", path+target, body)
			if p := decodeProblem(t, res, got); p.Status != 400 || p.Field != field {
				t.Errorf("%s%s: got %s", path, target, got)
			}
		}
	}
	_, body := call(a, "POST", "/v1/query?format=xml", hourly)
	if !strings.Contains(body, "use json, csv, ndjson, arrow or parquet") {
		t.Errorf("the formats are not named: %s", body)
	}
}

// TestNDJSON: each row of JSON is a line.
func TestNDJSON(t *testing.T) {
	t.Parallel()
	res, body := call(newAPI(t, newLayers(), nil), "POST", "/v1/query", hourly, "Accept", "application/x-ndjson")
	want := `{"time":"2001-01-01T00:00:00Z","origin":"ORD","n":1,"tails":1}` + "\n" +
		`{"time":"2001-01-01T01:00:00Z","origin":"ATL","n":2,"tails":2,"live":{"n":1,"tails":1}}` + "\n"
	if body != want || res.Header.Get("Recount-Accuracy") == "" {
		t.Errorf("got %s, want %s", body, want)
	}
}
