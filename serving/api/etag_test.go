package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/problem"
)

// exactly is an exact query as parameters.
func exactly() url.Values {
	return url.Values{"view": {"flights"}, "mode": {"exact"}, "from": {"2001-01-01T00:00:00Z"},
		"to": {"2001-01-02T00:00:00Z"}}
}

// TestTagChangesWithEverything: a change of anything that an exact answer is a function of changes its ETag.
func TestTagChangesWithEverything(t *testing.T) {
	t.Parallel()
	l := newLayers()
	now := start.Add(26 * time.Hour)
	a := newAPI(t, l, func(_ *Config, p *Parts) { p.Now = func() time.Time { return now } })
	seen := map[string]string{}
	add := func(what string, a *API, values url.Values, tenant string, headers ...string) {
		t.Helper()
		principal := access.Principal{Tenant: tenant, Scopes: access.AllScopes}
		r := httptest.NewRequestWithContext(access.NewContext(t.Context(), principal), "GET",
			"/v1/query?"+values.Encode(), nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		serveMux(a).ServeHTTP(w, r)
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || !strings.HasPrefix(tag, `"`) || seen[tag] != "" {
			t.Errorf("%s: %d, tag %q, which is that of %q: %s", what, w.Code, tag, seen[tag], w.Body)
		}
		seen[tag] = what
	}
	add("the query", a, exactly(), "default")
	for name, value := range map[string]string{
		"from": "2001-01-01T00:01:00Z", "to": "2001-01-02T00:01:00Z", "granularity": "1h", "time_zone": "Europe/Berlin",
		"limit": "3", "as_of": "17", "fill": "true", "totals": "true", "measures": "n", "group_by": "origin",
		"order_by": "n:desc", "where": "origin = ORD", "having": "n > 1", "format": "csv",
	} {
		values := exactly()
		values.Set(name, value)
		add(name, a, values, "default")
	}
	grouped := exactly()
	grouped.Set("group_by", "origin")
	grouped.Set("others", "true")
	add("others", a, grouped, "default")
	add("tenant", a, exactly(), "rival")
	add("compression", a, exactly(), "default", "Accept-Encoding", "gzip")
	add("another compression", a, exactly(), "default", "Accept-Encoding", "zstd")
	add("Accept", a, exactly(), "default", "Accept", "application/x-ndjson")
	add("program", newAPI(t, l, func(_ *Config, p *Parts) { p.Version = "2" }), exactly(), "default")
	relative := exactly()
	relative.Set("from", "now-26h")
	relative.Set("to", "now")
	add("relative", a, relative, "default")
	now = now.Add(time.Minute)
	add("relative, a minute later", a, relative, "default")
	open := exactly()
	open.Del("from")
	add("without from", a, open, "default")
	newer := newLayers()
	newer.digest = "d18"
	add("publication", newAPI(t, newer, nil), exactly(), "default")
}

// TestNoTagForWhatChanges: answers with a live part, those with an explanation, errors and those to POST have no ETag.
func TestNoTagForWhatChanges(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	for name, value := range map[string]string{"mode": "merged", "explain": "true", "limit": "0"} {
		values := exactly()
		values.Set(name, value)
		for _, known := range []string{"", "*"} {
			res, _ := call(a, "GET", "/v1/query?"+values.Encode(), "", "If-None-Match", known)
			if res.Header.Get("ETag") != "" || res.Header.Get("Cache-Control") != "no-store" || res.StatusCode == 304 {
				t.Errorf("%s: %s with %v", name, res.Status, res.Header)
			}
		}
	}
	res, _ := call(a, "POST", "/v1/query", strings.Replace(hourly, "{", `{"mode":"exact",`, 1), "If-None-Match", "*")
	if res.StatusCode != 200 || res.Header.Get("ETag") != "" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("POST: %s with %v", res.Status, res.Header)
	}
}

// TestNotModified: a client that has the answer gets 304, without a scan. The answer is the same at another time.
func TestNotModified(t *testing.T) {
	t.Parallel()
	l := newLayers()
	metrics := prometheus.NewRegistry()
	a := newAPI(t, l, func(_ *Config, p *Parts) { p.Registerer = metrics })
	target := "/v1/query?" + exactly().Encode()
	res, body := call(a, "GET", target, "")
	tag := res.Header.Get("ETag")
	again, same := call(a, "GET", target, "", "If-None-Match", `"x"`)
	if same != body || again.Header.Get("ETag") != tag {
		t.Errorf("another answer: %s, %s", same, again.Header.Get("ETag"))
	}
	scans := l.scans.Load()
	for _, known := range []string{tag, "W/" + tag, `"x", ` + tag} {
		for _, method := range []string{"GET", "HEAD"} {
			res, body := call(a, method, target, "", "If-None-Match", known)
			if res.StatusCode != 304 || body != "" || res.Header.Get("ETag") != tag || l.scans.Load() != scans ||
				res.Header.Get("Cache-Control") != "private, no-cache" || len(res.Header.Values("Vary")) != 2 {
				t.Errorf("%s, If-None-Match %s: %s with %v after %d scans: %s", method, known, res.Status, res.Header,
					l.scans.Load()-scans, body)
			}
		}
	}
	res, body = call(a, "GET", target, "", "If-None-Match", "*")
	if res.StatusCode != 304 || body != "" || res.Header.Get("ETag") != tag || l.scans.Load() == scans {
		t.Errorf("any: %s with %v: %s", res.Status, res.Header, body)
	}
	families, err := metrics.Gather()
	if err != nil || !strings.Contains(fmt.Sprint(families), `value:"304"`) {
		t.Errorf("no status 304 in the metrics: %v, %v", families, err)
	}
	gone := exactly()
	gone.Set("as_of", "16") // A client that kept the answer is told, too, that the publication is not kept.
	res, body = call(a, "GET", "/v1/query?"+gone.Encode(), "", "If-None-Match", "*")
	if p := decodeProblem(t, res, body); p.Code != problem.PublicationCollected {
		t.Errorf("as of a collected publication: %s", body)
	}
	checkFree(t, a)
}

// TestNoAnswerIsModified: a query whose answer is an error gets the error, whatever the client says that it has.
func TestNoAnswerIsModified(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	wide := exactly()
	wide.Set("fill", "true")
	wide.Set("granularity", "1m")
	wide.Set("group_by", "origin")
	wide.Set("to", "2002-11-01T00:00:00Z")
	for _, known := range []string{"", "*", `"x"`, `"x", *`} {
		res, body := call(a, "GET", "/v1/query?"+wide.Encode(), "", "If-None-Match", known)
		if p := decodeProblem(t, res, body); p.Status != 422 || p.Code != problem.QueryTooLarge {
			t.Errorf("If-None-Match %s: %s with %s", known, res.Status, body)
		}
	}
}

// TestSameTagIsSameBytes: while the clock moves within a cell, relative times are the same range, so the answer and its
// tag stay the same. Its cursor is of that range too, and the next page says the same range. The same times in other
// words are another cursor, so they are another tag.
func TestSameTagIsSameBytes(t *testing.T) {
	t.Parallel()
	now := start
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) { p.Now = func() time.Time { return now } })
	for _, ends := range [][2]string{{"now-2h", "now"}, {"now-1000d", ""}, {"", "now"}} {
		now = start.Add(2*time.Hour + time.Second)
		values := url.Values{"view": {"flights"}, "mode": {"exact"}, "group_by": {"origin"}, "limit": {"1"}}
		for i, field := range []string{"from", "to"} {
			if ends[i] != "" {
				values.Set(field, ends[i])
			}
		}
		first, body := call(a, "GET", "/v1/query?"+values.Encode(), "")
		now = now.Add(20 * time.Second)
		again, same := call(a, "GET", "/v1/query?"+values.Encode(), "")
		tag := first.Header.Get("ETag")
		if first.StatusCode != 200 || tag == "" || again.Header.Get("ETag") != tag || body != same {
			t.Errorf("%q: tag %s and then %s: %s\n%s", ends, tag, again.Header.Get("ETag"), body, same)
		}
		values.Set("cursor", first.Header.Get("Recount-Next"))
		_, second := call(a, "GET", "/v1/query?"+values.Encode(), "")
		if rangeOf(t, body) == "" || rangeOf(t, second) != rangeOf(t, body) {
			t.Errorf("%q: the pages are of the ranges %s and %s", ends, rangeOf(t, body), rangeOf(t, second))
		}
	}
	values := exactly()
	values.Set("group_by", "origin")
	values.Set("limit", "1")
	first, body := call(a, "GET", "/v1/query?"+values.Encode(), "")
	values.Set("from", "2001-01-01T01:00:00+01:00")
	again, other := call(a, "GET", "/v1/query?"+values.Encode(), "")
	if isSame := first.Header.Get("ETag") == again.Header.Get("ETag"); isSame && body != other {
		t.Errorf("one tag for %s\n%s", body, other)
	}
}

// rangeOf returns accuracy.range of an answer.
func rangeOf(t *testing.T, body string) string {
	t.Helper()
	var answer struct {
		Accuracy struct{ Range json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	return string(answer.Accuracy.Range)
}
