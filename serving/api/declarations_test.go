package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/serving/oracle"
)

// declaring returns an API with an empty catalog but for the type hit.
func declaring(t *testing.T) (*API, *declared) {
	t.Helper()
	c, err := declaration.ReadCatalog(time.Hour, declaration.OfCatalog(oracle.Catalog()))
	if err != nil {
		t.Fatal(err)
	}
	d := &declared{c: c}
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Catalog = c
		p.Declarations = d
	})
	res, body := call(a, http.MethodPut, "/v1/event-types/hit", `{"fields":{"page":"string","ms":"int64"}}`,
		"Content-Type", "application/json")
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s", res.Status, body)
	}
	return a, d
}

const pages = `{"event":"hit","dimensions":["page"],"measures":{"hits":{"count":{}},"slow":{"max":"ms"}}}`

// putForm sends a declaration as JSON and returns what changed.
func putForm(t *testing.T, a *API, target, body string, want int, headers ...string) (openapi.Changes, string) {
	t.Helper()
	res, answer := call(a, http.MethodPut, target, body, append(headers, "Content-Type", "application/json")...)
	if res.StatusCode != want {
		t.Fatalf("PUT %s %s: %s %s, want %d", target, body, res.Status, answer, want)
	}
	var c openapi.Changes
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return c, res.Header.Get("ETag")
}

func TestPutView(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	dry, tag := putForm(t, a, "/v1/views/pages?dry_run=true", pages, http.StatusOK)
	if d.n != 1 || dry.Generation != 1 || !dry.DryRun || len(dry.Previews) != 1 || dry.Previews[0].View != "pages" {
		t.Errorf("dry run: generation %d, %+v", d.n, dry)
	}
	created, same := putForm(t, a, "/v1/views/pages", pages, http.StatusCreated, "If-None-Match", "*")
	if d.n != 2 || created.Generation != 2 || created.DryRun || len(created.Previews) != 0 || tag != same ||
		len(created.Changes) != 1 || created.Changes[0].Action != openapi.Created {
		t.Errorf("created: generation %d, %s and %s, %+v", d.n, tag, same, created)
	}
	if again, _ := putForm(t, a, "/v1/views/pages", pages, http.StatusOK, "If-Match", tag); d.n != 2 ||
		again.Generation != 2 || len(again.Changes) != 0 {
		t.Errorf("the same once more: generation %d, %+v", d.n, again)
	}
	changed, other := putForm(t, a, "/v1/views/pages", strings.Replace(pages, `"slow":{"max"`, `"slow":{"min"`, 1),
		http.StatusOK, "If-Match", `"x", `+tag)
	if other == tag || len(changed.Changes) != 1 || changed.Changes[0].Action != openapi.Changed ||
		fmt.Sprintf("%s", changed.Changes[0].Edits) != `[{measures.slow {"max":"ms"} {"min":"ms"}}]` {
		t.Errorf("changed: %s", changed.Changes)
	}
	res, _ := call(a, http.MethodDelete, "/v1/views/pages", "", "If-Match", other)
	if res.StatusCode != http.StatusNoContent || d.c.Views["pages"] != nil {
		t.Errorf("%s: %v", res.Status, d.c.Views["pages"])
	}
}

func TestPutEventType(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	putForm(t, a, "/v1/views/pages", pages, http.StatusCreated)
	c, _ := putForm(t, a, "/v1/event-types/hit", `{"fields":{"page":"int64","ms":{"type":"int64"},"user":"string"}}`,
		http.StatusOK)
	if len(c.Changes) != 2 || c.Changes[0].Kind != openapi.EventTypes || c.Changes[1].Name != "pages" ||
		c.Changes[1].Action != openapi.Recomputed {
		t.Fatalf("got %+v", c)
	}
	effects := strings.Join(c.Changes[0].Effects, "\n")
	if !strings.Contains(effects, "fields.user: ") ||
		!strings.Contains(effects, "fields.page: stored as string and declared as int64") {
		t.Errorf("got the effects %s", effects)
	}
	res, _ := call(a, http.MethodDelete, "/v1/views/pages", "")
	if res.StatusCode != http.StatusNoContent {
		t.Fatal(res.Status)
	}
	res, body := call(a, http.MethodDelete, "/v1/event-types/hit?dry_run=true", "")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, openapi.Removed) || d.c.Events["hit"] == nil {
		t.Errorf("%s %s", res.Status, body)
	}
	if res, _ = call(a, http.MethodDelete, "/v1/event-types/hit", ""); res.StatusCode != http.StatusNoContent ||
		d.c.Events["hit"] != nil {
		t.Errorf("%s: %v", res.Status, d.c.Events["hit"])
	}
}

func TestRefusedDeclarations(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	_, tag := putForm(t, a, "/v1/views/pages", pages, http.StatusCreated)
	before := d.n
	const asJSON = "application/json"
	for _, c := range []struct {
		method, target, media, body string
		headers                     []string
		status                      int
		code                        problem.Code
		says                        string
	}{
		{"PUT", "/v1/views/pages", asJSON, `{"event":"hit","measures":{"n":{"sum":"page"}}}`, nil, 422,
			problem.InvalidDeclaration, `"field":"measures.n"`},
		{"PUT", "/v1/views/v", "application/yaml", "event: hit\ncell: soon\nmeasures: {n: {count: {}}}\n", nil, 422,
			problem.InvalidDeclaration, `"field":"cell"`},
		{"PUT", "/v1/views/v", asJSON, `{"event":"none","measures":{"n":{"count":{}}}}`, nil, 422,
			problem.InvalidDeclaration, `"field":"event"`},
		{"PUT", "/v1/views/V", asJSON, pages, nil, 422, problem.InvalidDeclaration, "lower-case"},
		{"PUT", "/v1/views/recount_x", asJSON, pages, nil, 422, problem.InvalidDeclaration, "kept for recount"},
		{"PUT", "/v1/event-types/hit", asJSON, `{"fields":{"page":"text"}}`, nil, 422, problem.InvalidDeclaration,
			`"field":"fields.page"`},
		{"PUT", "/v1/event-types/recount.x", asJSON, `{}`, nil, 422, problem.InvalidDeclaration, `"field":"name"`},
		{"DELETE", "/v1/event-types/recount.dead_letter", "", "", nil, 422, problem.InvalidDeclaration, "own"},
		{"PUT", "/v1/event-types/hit", asJSON, `{"fields":{"page":"float64","ms":"int64"}}`, nil, 409,
			problem.CatalogConflict, "views.pages.dimensions.page: a float64"},
		{"DELETE", "/v1/event-types/hit", "", "", nil, 409, problem.CatalogConflict, "views.pages.event"},
		{"DELETE", "/v1/event-types/none", "", "", nil, 404, problem.UnknownEventType, "name"},
		{"DELETE", "/v1/views/none", "", "", nil, 404, problem.UnknownView, "name"},
		{"GET", "/v1/event-types/none", "", "", nil, 404, problem.UnknownEventType, "name"},
		{"PUT", "/v1/views/pages", asJSON, pages, []string{"If-None-Match", "*"}, 412, problem.PreconditionFailed,
			"read"},
		{"PUT", "/v1/views/pages", asJSON, pages, []string{"If-None-Match", tag}, 412, problem.PreconditionFailed,
			"read"},
		{"PUT", "/v1/views/pages", asJSON, pages, []string{"If-Match", `"x"`}, 412, problem.PreconditionFailed, "read"},
		{"PUT", "/v1/views/v", asJSON, pages, []string{"If-Match", "*"}, 412, problem.PreconditionFailed, "read"},
		{"DELETE", "/v1/views/pages", "", "", []string{"If-Match", `"x"`}, 412, problem.PreconditionFailed, "read"},
		{"PUT", "/v1/views/v", "text/plain", pages, nil, 415, problem.UnsupportedMediaType, "application/yaml"},
		{"PUT", "/v1/views/v", asJSON, pages, []string{"Content-Encoding", "gzip"}, 415, problem.UnsupportedMediaType,
			"Content-Encoding"},
		{"PUT", "/v1/views/v", asJSON, `{`, nil, 400, problem.InvalidRequest, "too early"},
		{"PUT", "/v1/views/v?dry_run=maybe", asJSON, pages, nil, 400, problem.InvalidQuery, "dry_run"},
		{"PUT", "/v1/views/v?dry=true", asJSON, pages, nil, 400, problem.InvalidQuery, "unknown parameter"},
		{"PUT", "/v1/views/v", asJSON, strings.Repeat(" ", maxDeclaration+1), nil, 413, problem.BodyTooLarge, "bytes"},
		{"PUT", "/v1/catalog", asJSON, `{"event":{}}`, nil, 422, problem.InvalidDeclaration, `"field":"event"`},
		{"PUT", "/v1/catalog", asJSON, `{"events":{"hit":{"fields":{"a":"text"}}}}`, nil, 422,
			problem.InvalidDeclaration, `"field":"events.hit.fields.a"`},
	} {
		res, body := call(a, c.method, c.target, c.body, append(c.headers, "Content-Type", c.media)...)
		p := decodeProblem(t, res, body)
		if res.StatusCode != c.status || p.Code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %s %.200s: %s %s, want %d %s %q", c.method, c.target, c.headers, c.body, res.Status, body,
				c.status, c.code, c.says)
		}
	}
	if d.n != before {
		t.Errorf("a refused request has made generation %d", d.n)
	}
}

// TestMostViews: requests make no more views than the limit, and change and remove those that are there.
func TestMostViews(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	v := *d.c.Views["flights"]
	for i := len(d.c.Views); i < maxViews; i++ {
		copied := v
		copied.Name = fmt.Sprint("v", i)
		d.c.Views[copied.Name] = &copied
	}
	res, body := call(a, http.MethodPut, "/v1/views/pages", pages, "Content-Type", "application/json")
	if p := decodeProblem(t, res, body); p.Code != problem.CatalogConflict {
		t.Errorf("one more view: %s", body)
	}
	putForm(t, a, "/v1/views/v499", pages, http.StatusOK)
	if res, _ = call(a, http.MethodDelete, "/v1/views/v499", ""); res.StatusCode != http.StatusNoContent {
		t.Error(res.Status)
	}
	putForm(t, a, "/v1/views/pages", pages, http.StatusCreated)
}

// TestCatalog reads all declarations and applies them as a file.
func TestCatalog(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	_, body := call(a, http.MethodGet, "/v1/catalog", "")
	var c openapi.Catalog
	if err := json.Unmarshal([]byte(body), &c); err != nil || c.Generation != d.n {
		t.Fatalf("%s: %v", body, err)
	}
	same, _ := putForm(t, a, "/v1/catalog?dry_run=true", string(c.Declarations), http.StatusOK)
	if len(same.Changes) != 0 {
		t.Errorf("the catalog differs from itself: %+v", same)
	}
	without := strings.Replace(string(c.Declarations), `"hit":{"fields":{"ms":"int64","page":"string"}}`, "", 1)
	without = strings.Replace(without, ",}", "}", 1)
	got, _ := putForm(t, a, "/v1/catalog", without, http.StatusOK)
	if len(got.Changes) != 1 || got.Changes[0].Name != "hit" || got.Changes[0].Action != openapi.Removed {
		t.Errorf("%s: got %+v", without, got)
	}
}

// TestServedDeclarations: what GET shows can be sent with PUT as it is.
func TestServedDeclarations(t *testing.T) {
	t.Parallel()
	a, d := declaring(t)
	d.c = a.parts.Catalog.Catalog()
	for target, name := range map[string]string{"/v1/views/flights": "flights", "/v1/event-types/flight": "flight"} {
		res, body := call(a, http.MethodGet, target, "")
		var shown struct {
			Name        string
			Declaration json.RawMessage
		}
		if err := json.Unmarshal([]byte(body), &shown); err != nil || shown.Name != name {
			t.Fatalf("%s: %v", body, err)
		}
		c, tag := putForm(t, a, target, string(shown.Declaration), http.StatusOK, "If-Match", res.Header.Get("ETag"))
		if len(c.Changes) != 0 || tag != res.Header.Get("ETag") {
			t.Errorf("%s: %+v", shown.Declaration, c)
		}
	}
	_, body := call(a, http.MethodGet, "/v1/event-types", "")
	if !strings.HasPrefix(body, `{"event_types":[{"name":"flight","views":["`) ||
		strings.Contains(body, catalog.ReservedPrefix) {
		t.Errorf("got %s", body)
	}
}
