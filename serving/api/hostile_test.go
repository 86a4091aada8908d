package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/query"
	"recount/serving/merge"
)

// TestModesOfStrangersAreNoLabels sends queries with many invented modes, which fail for another
// reason first. A label is kept as long as the process runs, so there must be few of them.
func TestModesOfStrangersAreNoLabels(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) { p.Registerer = reg })
	for i := range 100 {
		call(a, "POST", "/v1/query", fmt.Sprintf(`{"view":"none","mode":"m%d"}`, i))
		call(a, "GET", fmt.Sprintf("/v1/query?view=flights&mode=m%d", i), "", "Accept", "text/html")
	}
	res, body := call(a, "GET", "/v1/query?view=none&mode=%FF", "")
	if decodeProblem(t, res, body).Code != "invalid_query" {
		t.Errorf("a mode that is not UTF-8: got %s", body)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > 3 {
			t.Errorf("%s has %d label sets", f.GetName(), n)
		}
	}
}

// TestLargeBodiesWaitForRoom sends as many large bodies as there is room for, and does not finish
// them. A further large body is refused with Retry-After, and a small body is answered. When the
// first ones have ended, a large body is answered too.
func TestLargeBodiesWaitForRoom(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxConcurrent = 2 })
	large := strings.Replace(hourly, "{", "{"+strings.Repeat(" ", smallBody), 1)
	var held []*io.PipeWriter
	done := make(chan int, 2)
	for range 2 {
		pr, pw := io.Pipe()
		held = append(held, pw)
		r := httptest.NewRequestWithContext(access.NewContext(t.Context(), access.Local()), "POST", "/v1/query", pr)
		r.Header.Set("Content-Type", "application/json")
		go func() {
			w := httptest.NewRecorder()
			serveMux(a).ServeHTTP(w, r)
			done <- w.Code
		}()
		if _, err := io.WriteString(pw, large[:smallBody+1]); err != nil {
			t.Fatal(err)
		}
	}
	if res, body := call(a, "POST", "/v1/query", large); decodeProblem(t, res, body).Code != "too_many_queries" ||
		res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a third large body: got %s %s", res.Status, body)
	}
	if res, body := call(a, "POST", "/v1/query", hourly); res.StatusCode != 200 {
		t.Errorf("a small body: got %s %s", res.Status, body)
	}
	for _, pw := range held {
		if _, err := io.WriteString(pw, large[smallBody+1:]); err != nil {
			t.Fatal(err)
		}
		_ = pw.Close()
	}
	for range 2 {
		if got := <-done; got != 200 {
			t.Errorf("a held body: got %d", got)
		}
	}
	if res, body := call(a, "POST", "/v1/query", large); res.StatusCode != 200 {
		t.Errorf("a large body afterwards: got %s %s", res.Status, body)
	}
}

// TestListsWaitForTheirTurn fills the gate with a query. Lists are then refused like queries.
func TestListsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	release := make(chan struct{})
	a := newAPI(t, newLayers(), func(c *Config, p *Parts) {
		c.MaxConcurrent = 1
		c.MaxQueued = 0
		p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) {
			close(reached)
			<-release
			return nil, errBusy
		})
	})
	done := make(chan struct{})
	go func() {
		call(a, "POST", "/v1/query", hourly)
		close(done)
	}()
	<-reached
	for _, path := range []string{"/v1/views", "/v1/views/flights", "/v1/publications", "/v1/publications/17"} {
		if res, body := call(a, "GET", path, ""); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: got %s %s", path, res.Status, body)
		}
	}
	close(release)
	<-done
}

// TestHostileParameters lists GET parameters that are refused, with the field of the answer.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	base := "view=flights&from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z"
	many := strings.Repeat("&where=origin:eq:x", query.MaxConditions+1)
	for _, c := range []struct{ name, raw, field string }{
		{"bad escape", base + "&where=%zz", "query"},
		{"semicolon", base + "&fill=true;limit=1", "query"},
		{"bad UTF-8", base + "&where=origin:eq:%ff", "query"},
		{"another case", base + "&Limit=1", "query"},
		{"twice", base + "&limit=1&limit=1", "query"},
		{"2^63", base + "&limit=9223372036854775808", "limit"},
		{"negative", base + "&limit=-1", "limit"},
		{"limit 0", base + "&limit=0", "limit"},
		{"a limit too large", base + "&limit=1000001", "limit"},
		{"2^64", base + "&as_of=18446744073709551616", "as_of"},
		{"many conditions", base + many, "where"},
		{"regular expression", base + "&where=origin:matches:(a%2B)%2B$", "where"},
		{"statement in a name", base + "&group_by=origin%60)%20UNION%20ALL%20SELECT%201--", "group_by"},
		{"statement in an order", base + "&order_by=n%3BDROP%20TABLE%20x", "order_by"},
		{"file as a time zone", base + "&time_zone=../../etc/passwd", "time_zone"},
		{"device as a time zone", base + "&time_zone=/dev/zero", "time_zone"},
		{"NUL in a time zone", base + "&time_zone=UTC%00", "time_zone"},
		{"the machine's time zone", base + "&time_zone=Local", "time_zone"},
		{"a folder as a time zone", base + "&time_zone=America", "time_zone"},
		{"windows", "view=flights&granularity=1m&from=1970-01-01T00:00:00Z&to=2262-01-01T00:00:00Z", "granularity"},
		{"years", "view=flights&from=0001-01-01T00:00:00Z&to=9999-01-01T00:00:00Z", "from"},
		{"an empty end", "view=flights&from=2001-01-01&to=", "to"},
		{"the first year of all", "view=flights&from=0001-01-01", "from"},
		{"wrong way round", "view=flights&from=2001-01-02T00:00:00Z&to=2001-01-01T00:00:00Z", "from"},
	} {
		u := url.URL{Path: "/v1/query", RawQuery: c.raw}
		res, body := call(a, "GET", u.String(), "")
		if p := decodeProblem(t, res, body); res.StatusCode != 400 || p.Code != "invalid_query" || p.Field != c.field {
			t.Errorf("%s: got %s %s, want %s", c.name, res.Status, body, c.field)
		}
	}
}
