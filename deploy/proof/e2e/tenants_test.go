package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/schemas/openapi"
)

const tenantsConfig = `
landing: {cut_interval: 100ms}
events:
  page.viewed: {fields: {page: string, user: string}}
views:
  page_views: {event: page.viewed, dimensions: [page], measures: {views: {count: {}}, users: {distinct: user}}}
jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// TestTenantIsolation gives two tenants events with the same ids. Then it calls every operation of
// the OpenAPI document with the keys of one tenant. No answer may show the other tenant, whether
// its events are published or still live.
func TestTenantIsolation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.json")
	create := func(tenant, scope string) string {
		t.Helper()
		out, err := exec.Command(binary, "keys", "create", "--keys-file", file, "--tenant", tenant, "--scope",
			scope).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	admin := create("ops", "admin")
	acme := create("acme", "ingest,query")
	rival := create("rival", "ingest,query")
	writer := create("rival", "ingest")
	srv, err := launch(dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig), "127.0.0.1:0",
		"--auth.keys-file", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.kill)
	send := func(key, page string, first, end int) {
		t.Helper()
		ctx := withKey(t.Context(), key)
		var body strings.Builder
		for i := first; i < end; i++ {
			fmt.Fprintf(&body, `{"id":"%d","type":"page.viewed","source":"x","time":"2024-05-01T10:00:00Z",`+
				`"data":{"page":%q,"user":"%s-%d"}}`+"\n", i, page, key[8:20], i)
		}
		if a, err := sender(ctx, srv.url).SendLines(ctx, []byte(body.String())); err != nil || a.Accepted != end-first {
			t.Fatal(a, err)
		}
	}
	asAdmin := withKey(t.Context(), admin)
	send(acme, "acme-secret", 0, 7)
	send(acme, "/", 7, 10)
	send(rival, "/", 0, 2)
	if err := waitUntilLanded(asAdmin, srv.url); err != nil {
		t.Fatal(err)
	}
	if err := runJob(asAdmin, srv.url, "recompute"); err != nil {
		t.Fatal(err)
	}
	send(acme, "acme-secret", 20, 30) // These are not published.
	if err := waitForMetrics(asAdmin, srv.url, state.advanced); err != nil {
		t.Fatal(err)
	}

	views := func(key, more string) string {
		t.Helper()
		a, err := query(withKey(t.Context(), key), srv.url,
			`{"view":"page_views","from":"2024-05-01T00:00:00Z","to":"2024-05-02T00:00:00Z"`+more+`}`)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(a.Rows)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, c := range []struct{ key, query, want string }{
		{rival, ``, `[{"users":2,"views":2}]`},
		{rival, `,"mode":"exact"`, `[{"users":2,"views":2}]`},
		{rival, `,"mode":"live","group_by":["page"]`, `[]`},
		{rival, `,"group_by":["page"]`, `[{"page":"/","users":2,"views":2}]`},
		{rival, `,"group_by":["page"],"where":[{"dimension":"page","op":"eq","value":"acme-secret"}]`, `[]`},
		{rival, `,"group_by":["page"],"where":[{"dimension":"page","op":"ne","value":"/"}]`, `[]`},
		{acme, `,"mode":"exact","group_by":["page"]`,
			`[{"page":"/","users":3,"views":3},{"page":"acme-secret","users":7,"views":7}]`},
	} {
		if got := views(c.key, c.query); got != c.want {
			t.Errorf("query %s: got %s, want %s", c.query, got, c.want)
		}
	}
	if got := views(acme, ""); !strings.Contains(got, `"views":20`) {
		t.Errorf("acme gets %s, want 20 views", got)
	}

	if err := runJob(asAdmin, srv.url, "audit"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key, query string
		want       int // the events of the audit; 0 means that it is refused
	}{{admin, "", 22}, {admin, "?tenant=acme", 20}, {acme, "", 20}, {rival, "", 2}, {rival, "?tenant=rival", 2},
		{rival, "?tenant=acme", 0}, {writer, "", 0}} {
		if got := auditedEvents(t, srv.url, c.key, c.query); got != c.want {
			t.Errorf("audit%s: got %d events, want %d", c.query, got, c.want)
		}
	}

	asked := 0
	for _, op := range operations(t) {
		for name, key := range map[string]string{"": "", "rival": rival, "writer": writer} {
			status, body := ask(t, srv.url, key, op)
			asked++
			open := op.path == "/healthz" || op.path == "/readyz" || op.path == "/openapi.json"
			scope := op.scope == "query" && name == "rival" || op.scope == "ingest" && name != ""
			switch {
			case open || scope:
				if status == http.StatusUnauthorized || status == http.StatusForbidden {
					t.Errorf("%s %s as %q: status %d", op.method, op.path, name, status)
				}
			case name == "" && status != http.StatusUnauthorized, name != "" && status != http.StatusForbidden:
				t.Errorf("%s %s as %q: status %d %s", op.method, op.path, name, status, body)
			}
			if strings.Contains(body, "acme") {
				t.Errorf("%s %s as %q shows another tenant: %s", op.method, op.path, name, body)
			}
		}
	}
	for key, n := range map[string]int{acme: 1, rival: 0} {
		ctx := withKey(t.Context(), key)
		e, err := sender(ctx, srv.url).Explain(ctx, "x", "25", time.Time{})
		if err != nil || len(e.Events) != n || n == 0 && e.Search.Objects > 1 {
			t.Errorf("explain an event of acme: %+v, %v; want %d events", e, err, n)
		}
	}
	if asked < 3*15 {
		t.Errorf("only %d requests were made; is the OpenAPI document complete?", asked)
	}
	srv.stop(t)
	for _, key := range []string{admin, acme, rival, writer} {
		if strings.Contains(srv.logs.String(), key[21:]) {
			t.Error("the server's log contains an API key")
		}
	}
}

// auditedEvents returns how many events an audit counts, which must be the same at every tier. It
// returns 0 when the audit is refused.
func auditedEvents(t *testing.T, url, key, query string) (logged int) {
	t.Helper()
	status, body := ask(t, url, key, operation{method: http.MethodGet, path: "/v1/audit" + query})
	if status == http.StatusForbidden {
		return 0
	}
	var a struct {
		Residue    int
		Partitions []struct {
			Acknowledged, Logged int
			Ranges               []struct{ Landed, Waiting, Published int }
		}
		Publications []struct{ Counted int }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK || a.Residue != 0 {
		t.Fatalf("audit%s: status %d, %v: %s", query, status, err, body)
	}
	acknowledged := 0
	ranges := 0
	published := 0
	for _, p := range a.Partitions {
		acknowledged = acknowledged + p.Acknowledged
		logged = logged + p.Logged
		for _, r := range p.Ranges {
			ranges = ranges + r.Landed + r.Waiting
			published = published + r.Published
		}
	}
	if newest := a.Publications[len(a.Publications)-1]; acknowledged != logged || ranges != logged ||
		newest.Counted != published {
		t.Errorf("audit%s: the counts of the tiers differ: %s", query, body)
	}
	return logged
}

// operation is a documented one, with the first scope that may call it. shared means that another one may, too.
type operation struct {
	method, path, scope string
	shared              bool
}

func operations(t *testing.T) (out []operation) {
	t.Helper()
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	for path, item := range d.Paths {
		for method, raw := range item {
			var op struct {
				Scopes []string `json:"x-scopes"`
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			o := operation{strings.ToUpper(method), path, "", len(op.Scopes) > 1}
			if len(op.Scopes) > 0 {
				o.scope = op.Scopes[0]
			}
			out = append(out, o)
		}
	}
	return out
}

// ask sends a valid request for the operation with the given key. The request names the other tenant
// in every place where a server might look for a tenant.
func ask(t *testing.T, url, key string, op operation) (status int, answer string) {
	t.Helper()
	path := strings.NewReplacer("{name}", "page_views", "{n}", "1", "{id}", "25?source=x", "{receipt}",
		"AQ").Replace(op.path)
	if strings.HasPrefix(path, "/v1/jobs/") {
		path = "/v1/jobs/recompute/runs"
	}
	body := ""
	switch {
	case op.path == "/v1/query" && op.method == http.MethodPost:
		body = `{"view":"page_views","from":"2024-05-01T00:00:00Z","to":"2024-05-02T00:00:00Z","group_by":["page"]}`
	case op.path == "/v1/query":
		path += "?view=page_views&from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z&group_by=page"
	case op.path == "/v1/events":
		body = `{"id":"0","type":"page.viewed","time":"2024-05-01T10:00:00Z","data":{"page":"/"},"tenant":"acme"}`
	}
	ctx, cancel := context.WithTimeout(withKey(t.Context(), key), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, op.method, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	authorize(req)
	req.Header.Set("Content-Type", "application/json")
	for _, name := range []string{"Tenant", "X-Tenant", "X-Scope-OrgID"} {
		req.Header.Set(name, "acme")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}
