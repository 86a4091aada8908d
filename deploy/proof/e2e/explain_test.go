package e2e

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/schemas/openapi"
	queries "recount/schemas/query"
)

const explainConfig = `
landing: {cut_interval: 100ms}
events:
  page.viewed: {fields: {page: string, status: int64}}
views:
  pages: {event: page.viewed, dimensions: [page], cell: 1m, measures: {views: {count: {}}}}
  errors: {event: page.viewed, where: [{field: status, op: ge, value: 500}], measures: {views: {count: {}}}}
jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// TestExplain asks a server what became of its events: before and after a publication, after a restart, and by receipt.
// Ids that look like paths lead to their events too.
func TestExplain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), explainConfig)
	s := start(t, dir, config, "127.0.0.1:0")
	ids := []string{"1", "..", "a/b", "ü ?"}
	var lines strings.Builder
	for _, id := range ids {
		lines.WriteString(`{"id":"` + id + `","source":"shop","type":"page.viewed","time":"2024-05-01T10:00:07Z",` +
			`"data":{"page":"/","status":200}}` + "\n")
	}
	lines.WriteString(`{"id":"1","source":"shop","type":"page.viewed","time":"2024-05-01T10:00:07Z",` +
		`"data":{"page":"/other"}}` + "\n")
	lines.WriteString(`{"id":"bad","source":"shop","type":"page.clicked"}` + "\n")
	sent, err := sender(t.Context(), s.url).SendLines(t.Context(), []byte(lines.String()))
	if err != nil || sent.Accepted != 5 {
		t.Fatal(sent, err)
	}
	explain := func(id string) openapi.Explanation {
		t.Helper()
		e, err := sender(t.Context(), s.url).Explain(t.Context(), "shop", id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := explain("bad"); len(e.DeadLetters) != 1 || e.DeadLetters[0].Code != "unknown_type" {
		t.Errorf("a rejected event before it has landed: %+v", e)
	}
	if e := explain("1"); len(e.Events) != 2 || e.Events[0].Status != openapi.EventPending ||
		e.Events[1].CopyOf == nil || !e.Events[1].Conflict || e.Events[0].Accepted.IsZero() ||
		e.Events[0].Generation != 1 {
		t.Errorf("an event before it is published: %+v", e)
	}
	if e := explainedQuery(t, s.url); e.Batch != nil || e.Objects != nil || messages(e) == 0 || e.Attempts != 1 {
		t.Errorf("a query before the first publication: %+v", e)
	}
	if err := waitUntilLanded(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	if err := runJob(t.Context(), s.url, "recompute"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, id := range ids {
			e := explain(id)
			if len(e.Events) == 0 || e.Events[0].Status != openapi.EventCounted || e.Events[0].Object == "" ||
				!e.Search.Complete {
				t.Fatalf("event %q: %+v", id, e)
			}
			views := e.Events[0].Views
			if len(views) != 2 || views[0].View != "errors" || len(views[0].ExcludedBy) != 1 ||
				views[1].Publication != 1 || views[1].Dimensions["page"] != "/" {
				t.Errorf("event %q: %+v", id, views)
			}
		}
		e := explainedQuery(t, s.url)
		if b := (queries.BatchReading{Buckets: 1, Rows: 1}); e.Publication != 1 || e.Batch == nil || *e.Batch != b ||
			e.Objects == nil || e.Objects.Rows != 5 || e.Objects.Count != len(e.Objects.Keys) {
			t.Errorf("a query after the publication: %+v", e)
		}
		if e := explain("bad"); len(e.DeadLetters) != 1 || len(e.Events) != 0 {
			t.Errorf("a rejected event: %+v", e)
		}
		if e := explain("none"); len(e.Events) != 0 || len(e.DeadLetters) != 0 || !e.Search.Complete {
			t.Errorf("an id that nobody sent: %+v", e)
		}
		r, err := sender(t.Context(), s.url).Receipt(t.Context(), sent.Receipt)
		if err != nil || r.Events != 5 || slices.ContainsFunc(r.Places,
			func(p openapi.ReceiptPlace) bool { return p.State != openapi.ReceiptPublished }) {
			t.Errorf("the receipt: %+v, %v", r, err)
		}
		s.stop(t)
		s = start(t, dir, config, "127.0.0.1:0")
	}
	s.stop(t)
}

// explainedQuery asks how a query is answered whose range begins inside the bucket of all events of TestExplain, and
// after them.
func explainedQuery(t *testing.T, server string) queries.Explanation {
	t.Helper()
	answer, err := sender(t.Context(), server).QueryParameters(t.Context(), url.Values{"view": {"pages"},
		"from": {"2024-05-01T10:59:00Z"}, "to": {"2024-05-02T00:00:00Z"}, "explain": {"true"}}, client.JSON)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var got struct{ Explanation queries.Explanation }
	if err := json.NewDecoder(answer).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got.Explanation
}

// messages returns how many messages of the log an answer has read.
func messages(e queries.Explanation) (n uint64) {
	for _, l := range e.Live {
		n += l.To - l.From
	}
	return n
}
