package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ratesConfig limits one rate of each of three tenants. The rates are so low that a slow test
// exceeds them too.
const ratesConfig = `
tenants:
  few: {events_per_second: 0.01}
  small: {bytes_per_second: 1}
  rare: {queries_per_second: 0.01}
`

// testRates checks that a tenant over its rate gets 429 with Retry-After, and that no other tenant
// is held up. A tenant may go into debt, so its earlier requests decide.
func (g *guardedServer) testRates() {
	g.t.Helper()
	const event = `{"id":"%d","type":"page.viewed","source":"x","time":"2024-05-01T10:00:00Z","data":{"page":"/"}}`
	events := strings.Repeat(event+"\n", 3)
	for tenant, c := range map[string]struct{ method, path, kind string }{
		"few": {"POST", "/v1/events", "events"}, "small": {"POST", "/v1/events", "bytes"},
		"rare": {"GET", dayQuery, "queries"},
	} {
		send := func(key string) *http.Response {
			body := ""
			if c.method == "POST" {
				body = fmt.Sprintf(events, 1, 2, 3)
			}
			req, err := http.NewRequestWithContext(withKey(g.t.Context(), key), c.method, g.url+c.path,
				strings.NewReader(body))
			if err != nil {
				g.t.Fatal(err)
			}
			authorize(req)
			req.Header.Set("Content-Type", "application/x-ndjson")
			res, err := g.client.Do(req)
			if err != nil {
				g.t.Fatal(err)
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			return res
		}
		var last *http.Response
		for range 3 { // The second query starts the debt, so the third is refused.
			last = send(g.limited[tenant])
		}
		if wait, err := strconv.Atoi(last.Header.Get("Retry-After")); last.StatusCode != http.StatusTooManyRequests ||
			err != nil || wait < 10 {
			g.t.Errorf("tenant %s over its rate: status %d, Retry-After %q, want 429 and at least 10 s", tenant,
				last.StatusCode, last.Header.Get("Retry-After"))
		}
		if other := send(g.acme); other.StatusCode != http.StatusOK {
			g.t.Errorf("while tenant %s is over its rate, acme gets status %d, want 200", tenant, other.StatusCode)
		}
		_, _, metrics := g.ask("GET", g.admin+"/metrics", g.ops, "", "")
		refused := parseState(metrics)[fmt.Sprintf(`recount_tenant_refused_total{kind="%s",tenant="%s"}`, c.kind,
			tenant)]
		if refused < 1 || parseState(metrics)[fmt.Sprintf(`recount_tenant_refused_total{kind="%s",tenant="acme"}`,
			c.kind)] != 0 {
			g.t.Errorf("tenant %s: the metrics show %v requests refused for their %s", tenant, refused, c.kind)
		}
	}
}
