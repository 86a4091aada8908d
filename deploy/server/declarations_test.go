package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/proof/external"
	"recount/deploy/server/generations"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

// pagesView is a view over the type of countedConfig.
const pagesView = `{"event":"hit","dimensions":["page"],"cell":"1h","measures":{"hits":{"count":{}},` +
	`"slow":{"max":"ms"},"spent":{"sum":"price"},"users":{"distinct":"user"},"wait":{"avg":"ms"}}}`

// TestApplyNothing: a file that declares nothing leaves the catalog as it is, also by request (G2).
func TestApplyNothing(t *testing.T) {
	t.Parallel()
	chain, err := generations.Open(t.Context(), generations.Config{Bucket: time.Hour}, &recordtest.Memory{})
	if err != nil {
		t.Fatal(err)
	}
	file := record.Declarations{Events: map[string]*catalog.EventType{"hit": {Name: "hit"}}}.Catalog(time.Hour)
	if _, err := applyFile(t.Context(), chain, file, false); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		done, err := applyFile(t.Context(), chain, record.Declarations{}.Catalog(time.Hour), dry)
		if err != nil || done.Generation != 1 || len(declaration.Changes(done.Before, done.After)) != 0 {
			t.Errorf("dry run %t: got %+v, %v", dry, done, err)
		}
	}
	if chain.Catalog().Events["hit"] == nil {
		t.Error("the declarations are removed")
	}
}

// TestPreview sends events, some twice, and expects the preview of a view to count each once: those that have landed,
// and those that are only in the log. It is not parallel: a process has one embedded ClickHouse.
func TestPreview(t *testing.T) {
	cfg := countedConfig(t)
	_, c := play(t, cfg, AllRoles)
	preview := func() openapi.Preview {
		t.Helper()
		dry, err := c.PutView(t.Context(), "pages", []byte(pagesView), client.EditOptions{DryRun: true})
		if err != nil || len(dry.Previews) != 1 {
			t.Fatalf("%+v %v", dry, err)
		}
		return dry.Previews[0]
	}
	if p := preview(); p.From != nil || p.Events != 0 || len(p.Rows) != 0 {
		t.Errorf("without events: %+v", p)
	}
	want := map[string]int{}
	copies := int64(0)
	for round := range 4 {
		var lines strings.Builder
		for i := range 20 {
			id := round*15 + i // Five of each round were sent in the round before.
			fmt.Fprintf(&lines, `{"specversion":"1.0","id":"%d","source":"shop","type":"hit",`+
				`"time":"2024-01-01T1%d:00:00Z","data":{"page":"/%d","user":"%d","price":0.5,"ms":%d}}`+"\n",
				id, id%2, id%3, id%4, id)
			switch {
			case id%2 == 0: // in another hour
			case round == 0 || i >= 5:
				want[fmt.Sprint("/", id%3)]++
			default:
				copies++
			}
		}
		if answer, err := c.SendLines(t.Context(), []byte(lines.String())); err != nil || len(answer.Rejected) > 0 {
			t.Fatalf("%v %v", answer.Rejected, err)
		}
		p := preview()
		if p.From == nil || !p.From.Equal(time.Date(2024, 1, 1, 11, 0, 0, 0, time.UTC)) || p.Partial ||
			p.Copies != copies || p.Groups != 3 || len(p.Rows) != 3 {
			t.Fatalf("round %d: %d copies sent; %+v", round, copies, p)
		}
		for _, row := range p.Rows {
			if hits := want[row["page"].(string)]; row["hits"] != float64(hits) || row["spent"] != 0.5*float64(hits) ||
				row["tenant"] != "default" || row["time"] != "2024-01-01T11:00:00Z" {
				t.Errorf("round %d: got %v, want %v", round, row, want)
			}
		}
		if round > 1 {
			time.Sleep(cfg.Landing.Interval) // The next rounds find objects.
		}
	}
	if p := preview(); p.Objects == 0 || p.Objects > 20 {
		t.Errorf("%d objects", p.Objects)
	}
}

// TestDeclareOverHTTP adds, changes and removes declarations over the API, and applies a file to what has become of
// them. It is not parallel: a process has one embedded ClickHouse.
func TestDeclareOverHTTP(t *testing.T) {
	cfg := countedConfig(t)
	s, c := play(t, cfg, AllRoles)
	ctx := t.Context()
	created, err := c.PutView(ctx, "pages", []byte(pagesView), client.EditOptions{Create: true})
	if err != nil || created.Generation != 2 || len(created.Changes.Changes) != 1 || created.ETag == "" {
		t.Fatalf("%+v %v", created, err)
	}
	_, err = c.PutView(ctx, "pages", []byte(pagesView), client.EditOptions{Create: true})
	wantProblem(t, err, http.StatusPreconditionFailed, problem.PreconditionFailed)
	_, err = c.DeleteEventType(ctx, "hit", client.EditOptions{})
	wantProblem(t, err, http.StatusConflict, problem.CatalogConflict)
	_, err = c.PutEventType(ctx, "click", []byte(`{"fields":{"page":{"type":"text"}}}`), client.EditOptions{})
	wantProblem(t, err, http.StatusUnprocessableEntity, problem.InvalidDeclaration)
	// The request changes a view of the file, and then the file changes it too.
	slower := strings.Replace(pagesView, `"cell":"1h"`, `"cell":"10m"`, 1)
	if _, err = c.PutView(ctx, "hits", []byte(slower), client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	file, err := cfg.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.PutCatalog(ctx, declaration.JSON(declaration.OfCatalog(file)), true)
	if err != nil || len(kept.Changes) != 0 || len(kept.Kept) != 2 || len(kept.Conflicts) != 0 {
		t.Errorf("the file as it was: %+v %v", kept, err)
	}
	file.Views["hits"].Dimensions = nil
	body := declaration.JSON(declaration.OfCatalog(file))
	for _, dry := range []bool{true, false} {
		got, err := c.PutCatalog(ctx, body, dry)
		if err != nil || len(got.Changes) != 1 || got.Changes[0].Name != "hits" || len(got.Kept) != 1 ||
			len(got.Conflicts) != 1 || got.Conflicts[0].Name != "hits" ||
			!strings.Contains(string(got.Conflicts[0].Stored), "10m") {
			t.Errorf("dry run %v: %+v %v", dry, got, err)
		}
	}
	g := s.generations.Current()
	if v := g.Catalog.Views["hits"]; len(v.Dimensions) != 0 || g.Catalog.Views["pages"] == nil || g.N != 4 {
		t.Errorf("generation %d: %+v", g.N, v)
	}
}

func wantProblem(t *testing.T, err error, status int, code problem.Code) {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Status != status || p.Code != code {
		t.Errorf("got %v, want %d %s", err, status, code)
	}
}

// TestDeclareAtAnother declares a type and a view at one process and uses them at once at another, which plays the
// other roles. It is not parallel: a process has one embedded ClickHouse.
func TestDeclareAtAnother(t *testing.T) {
	e := external.New(t, t.TempDir())
	e.Start()
	cfg := externalConfig(t, e)
	_, front := play(t, cfg, Ingest|Speed|Landing|Serving)
	cfg.DataDir = t.TempDir()
	_, back := play(t, cfg, Batch)
	sendHits(t, front, 0, 10)
	if _, err := back.PutEventType(t.Context(), "click", []byte(`{"fields":{"page":"string"}}`),
		client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	answer, err := front.SendLines(t.Context(), []byte(`{"specversion":"1.0","id":"1","source":"test","type":"click",`+
		`"time":"2024-01-01T10:00:00Z","data":{"page":"/"}}`))
	if err != nil || len(answer.Rejected) > 0 {
		t.Fatalf("an event of a type that was just declared at another process: %+v %v", answer, err)
	}
	if _, err := back.PutView(t.Context(), "pages", []byte(pagesOf("hit")), client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	eventuallyHits(t, front, "pages", query.Live, 10)
	if _, err := front.PutView(t.Context(), "clicks", []byte(pagesOf("click")), client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	publishes(t, back, front, 10)
	eventuallyHits(t, front, "pages", query.Exact, 10)
	eventuallyHits(t, front, "clicks", query.Merged, 1)
	if _, err := back.DeleteView(t.Context(), "pages", client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := hitsOf(t.Context(), front, "pages", query.Merged)
		var p *problem.Problem
		if errors.As(err, &p) && p.Code == problem.UnknownView {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a view that was removed at another process: %v", err)
		}
	}
}

func pagesOf(eventType string) string {
	return `{"event":"` + eventType + `","dimensions":["page"],"measures":{"hits":{"count":{}}}}`
}

// hitsOf returns the sum of the counts of a view on the day of the tests.
func hitsOf(ctx context.Context, c *client.Client, view string, mode query.Mode) (hits int64, err error) {
	var rows []struct{ Hits int64 }
	day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err = c.Query(ctx, &query.Query{View: view, From: day, To: day.AddDate(0, 0, 1), Mode: mode}, &rows)
	for _, r := range rows {
		hits += r.Hits
	}
	return hits, err
}

// eventuallyHits waits until a view has so many hits.
func eventuallyHits(t *testing.T, c *client.Client, view string, mode query.Mode, want int64) {
	t.Helper()
	var got int64
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got, err = hitsOf(t.Context(), c, view, mode); err == nil && got == want {
			return
		}
	}
	t.Fatalf("view %s, mode %s: got %d hits and %v, want %d", view, mode, got, err, want)
}
