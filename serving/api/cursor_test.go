package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestPagesOfRelativeTimes pages through an answer whose from is a word, while the clock goes on. The pages are in
// different formats.
func TestPagesOfRelativeTimes(t *testing.T) {
	t.Parallel()
	now := start.Add(2 * time.Hour)
	a := newAPI(t, manyLayers(), func(_ *Config, p *Parts) { p.Now = func() time.Time { return now } })
	values := url.Values{"view": {"flights"}, "mode": {"exact"}, "from": {"now-2h"}, "to": {"now"}, "measures": {"n"},
		"group_by": {"origin"}, "format": {"csv"}}
	_, whole := call(a, "GET", "/v1/query?"+values.Encode(), "")
	var pages strings.Builder
	values.Set("limit", "150")
	for n := 0; ; n++ {
		res, body := call(a, "GET", "/v1/query?"+values.Encode(), "")
		if res.StatusCode != 200 {
			t.Fatalf("page %d: %s", n, body)
		}
		header, rows, _ := strings.Cut(body, "\r\n")
		if n == 0 {
			pages.WriteString(header + "\r\n")
		}
		pages.WriteString(rows)
		next := res.Header.Get("Recount-Next")
		values.Set("format", "json")
		_, body = call(a, "GET", "/v1/query?"+values.Encode(), "")
		values.Set("format", "csv")
		var answer struct{ Next string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Next != next {
			t.Errorf("page %d: next is %q in JSON and %q in the header, %v", n, answer.Next, next, err)
		}
		if next == "" {
			break
		}
		values.Set("cursor", next)
		now = now.Add(time.Hour)
	}
	if pages.String() != whole {
		t.Errorf("the pages have %d bytes, the whole answer has %d", pages.Len(), len(whole))
	}
	body := strings.Replace(hourly, "{", `{"mode":"exact","cursor":"x",`, 1)
	res, got := call(a, "POST", "/v1/queries", `{"queries":[`+body+`]}`)
	if res.StatusCode != 200 || !strings.Contains(got, `"field":"cursor"`) {
		t.Errorf("a cursor among several queries: %s", got)
	}
	for _, request := range [][3]string{{"GET", "/v1/query?view=flights&mode=exact&cursor=", ""},
		{"POST", "/v1/query", strings.Replace(body, `"x"`, `""`, 1)}} {
		res, got := call(a, request[0], request[1], request[2])
		if p := decodeProblem(t, res, got); p.Status != 400 || p.Field != "cursor" {
			t.Errorf("%s with an empty cursor: %s", request[0], got)
		}
	}
	res, got = call(a, "POST", "/v1/query", body)
	if p := decodeProblem(t, res, got); p.Status != 400 || p.Field != "cursor" {
		t.Errorf("a cursor that was made up: %s", got)
	}
}
