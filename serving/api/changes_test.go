package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/serving/batchview"
	"recount/serving/changes"
	"recount/serving/oracle"
	"recount/serving/reader"
)

// twice has the first event in publication 16, and all events in publication 17.
type twice struct{ *layers }

func (p twice) events(n uint64) []oracle.Event {
	if n == 16 {
		return p.layers.events[:1]
	}
	return p.layers.events
}

func (p twice) StateAt(ctx context.Context, n uint64) (*record.State, error) {
	if n == 17 {
		return p.Newest(ctx)
	}
	if n != 16 {
		return p.layers.StateAt(ctx, n)
	}
	s := p.state()
	s.N = 16
	s.Publication.Created = start.Add(90 * time.Minute)
	p.pin(s)
	return s, nil
}

func (p twice) Newest(context.Context) (*record.State, error) {
	s := p.state()
	p.pin(s)
	return s, nil
}

// pin makes the state have one row for each event.
func (p twice) pin(s *record.State) {
	view := s.Views["flights"]
	view.Buckets = nil
	s.Types = map[string][]record.BucketCount{}
	s.Ledgers = map[string]record.Ledger{"flight": {From: []uint64{1},
		Tenants: map[string][]record.Account{"default": {{Rows: int64(len(p.events(s.N))), Duplicates: 1}}}}}
	for _, e := range p.events(s.N) {
		b := window.Floor(e.Time, time.Hour)
		if n := len(view.Buckets); n == 0 || view.Buckets[n-1].Bucket != b {
			view.Buckets = append(view.Buckets, record.BucketVersion{Bucket: b, Ver: 1})
			s.Types["flight"] = append(s.Types["flight"], record.BucketCount{Bucket: b})
		}
		view.Buckets[len(view.Buckets)-1].Rows++
		s.Types["flight"][len(view.Buckets)-1].Rows++
	}
	s.Views["flights"] = view
}

func (p twice) Scan(_ context.Context, s *record.State, scan *query.Scan, _ batchview.Options) (*query.Part, error) {
	return oracle.Part(scan, p.events(s.N), oracle.Batch), nil
}

func newChangesAPI(t *testing.T) *API {
	l := newLayers()
	l.events = append(l.events, flight(185, "ATL", "N3"))
	p := twice{l}
	r, err := reader.New(reader.Config{Catalog: oracle.Catalog(), Publications: p, Batch: p,
		Now: func() time.Time { return start.Add(12 * time.Millisecond) }})
	if err != nil {
		t.Fatal(err)
	}
	return newAPI(t, l, func(_ *Config, parts *Parts) { parts.Changes = r })
}

const changesQuestion = "/v1/changes?view=flights&from_publication=16&measures=n,late&group_by=origin" +
	"&time_zone=America/Chicago"

// TestChanges: the three formats have the same changes, and JSON has the totals of both publications too. The events of
// the hour in which the old publication was made are not late.
func TestChanges(t *testing.T) {
	t.Parallel()
	a := newChangesAPI(t)
	res, body := call(a, http.MethodGet, changesQuestion, "")
	var got openapi.Comparison
	if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %v", res.Status, body, err)
	}
	lines := []string{
		`{"time":"2000-12-31T19:01:00-06:00","key":{"origin":"ATL"},"change":"added","new":{"n":1,"late":61},` +
			`"events":{"old":0,"new":1},"causes":["late_events"]}`,
		`{"time":"2000-12-31T19:02:00-06:00","key":{"origin":"ATL"},"change":"added","new":{"n":1,"late":62},` +
			`"events":{"old":0,"new":1},"causes":["late_events"]}`,
		`{"time":"2000-12-31T21:05:00-06:00","key":{"origin":"ATL"},"change":"added","new":{"n":1,"late":185},` +
			`"events":{"old":0,"new":1},"causes":["new_events"]}`,
	}
	if !strings.HasSuffix(body, `"truncated":false,"changes":[`+strings.Join(lines, ",")+"]}\n") {
		t.Errorf("got %s", body)
	}
	events := openapi.ChangedEvents{New: 3}
	causes := []string{"late_events", "new_events"}
	want := openapi.Comparison{View: "flights",
		Summary: openapi.ChangeSummary{Added: 3, Events: events, Causes: causes},
		Days:    []openapi.ChangedDay{{Day: "2000-12-31", Added: 3, Events: events, Causes: causes}},
		Landed:  &openapi.TenantEvents{Events: 3}, FromPublication: got.FromPublication,
		ToPublication: got.ToPublication, Changes: got.Changes}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, p := range []openapi.ComparedPublication{got.FromPublication, got.ToPublication} {
		if totals := []string{"1 0", "4 308"}[i]; string(p.Totals["n"])+" "+string(p.Totals["late"]) != totals ||
			p.Publication != uint64(16+i) || p.Accuracy.Publication != uint64(16+i) || !p.Accuracy.Exact {
			t.Errorf("got %+v", p)
		}
	}
	res, body = call(a, http.MethodGet, changesQuestion, "", "Accept", "application/x-ndjson")
	if want := strings.Join(lines, "\n") + "\n"; body != want {
		t.Errorf("NDJSON: got %s, want %s", body, want)
	}
	summary := `{"added":3,"changed":0,"removed":0,"events":{"old":0,"new":3},"causes":["late_events","new_events"],` +
		`"truncated":false}`
	if got := res.Header.Get("Recount-Changes"); got != summary {
		t.Errorf("header: got %s", got)
	}
	res, body = call(a, http.MethodGet, changesQuestion+"&limit=1", "", "Accept", "text/csv")
	table := "time,origin,_change,_causes,_events_old,_events_new,n__old,n__new,late__old,late__new\r\n" +
		"2000-12-31T19:01:00-06:00,ATL,added,late_events,0,1,,1,,61\r\n"
	if body != table || !strings.Contains(res.Header.Get("Recount-Changes"), `"truncated":true`) {
		t.Errorf("CSV: got %q", body)
	}
	const whole = "/v1/changes?view=flights&from_publication=16&measures=n&group_by=&granularity=all"
	_, body = call(a, http.MethodGet, whole, "", "Accept", "text/csv")
	if want := "_change,_causes,_events_old,_events_new,n__old,n__new\r\n" +
		"changed,new_events,1,4,1,4\r\n"; body != want {
		t.Errorf("all: got %q", body)
	}
	_, body = call(a, http.MethodGet, changesQuestion+"&from=2001-01-05", "", "Accept", "text/csv")
	if want, _, _ := strings.Cut(table, "\n"); body != want+"\n" {
		t.Errorf("nothing: got %q", body)
	}
}

// TestChangesRefused: each mistake names its parameter.
func TestChangesRefused(t *testing.T) {
	t.Parallel()
	a := newChangesAPI(t)
	for _, c := range []struct {
		target string
		status int
		code   problem.Code
		field  string
	}{
		{"", 400, problem.InvalidQuery, "from_publication"},
		{"&from_publication=x", 400, problem.InvalidQuery, "from_publication"},
		{"&from_publication=17&to_publication=17", 400, problem.InvalidQuery, "to_publication"},
		{"&from_publication=17&to_publication=16", 400, problem.InvalidQuery, "from_publication"},
		{"&from_publication=16&limit=100001", 400, problem.InvalidQuery, "limit"},
		{"&from_publication=16&mode=exact", 400, problem.InvalidQuery, "query"},
		{"&from_publication=16&view=flights", 400, problem.InvalidQuery, "query"},
		{"&from_publication=16&measures=nope", 400, problem.InvalidQuery, "measures"},
		{"&from_publication=16&to=1990&from=2001", 400, problem.InvalidQuery, "from"},
		{"&from_publication=16&where=nope%20%3D%20", 400, problem.InvalidQuery, "where"},
		{"s&from_publication=16", 404, problem.UnknownView, "view"},
		{"&from_publication=16&to_publication=99", 404, problem.UnknownPublication, "to_publication"},
		{"&from_publication=2", 410, problem.PublicationCollected, "from_publication"},
	} {
		target := "view=flights" + c.target
		res, body := call(a, http.MethodGet, "/v1/changes?"+target, "")
		p := decodeProblem(t, res, body)
		if p.Status != c.status || p.Code != c.code || p.Field != c.field {
			t.Errorf("%s: got %s", target, body)
		}
		if p.Status == http.StatusGone && !strings.Contains(p.Detail, "pin") {
			t.Errorf("%s: no hint in %s", target, body)
		}
	}
	res, body := call(a, http.MethodGet, "/v1/changes?from_publication=16", "")
	if p := decodeProblem(t, res, body); p.Status != 400 || p.Field != "view" ||
		!strings.Contains(p.Detail, "required") {
		t.Errorf("without a view: got %s", body)
	}
	res, body = call(a, http.MethodGet, changesQuestion+"&format=xml", "")
	if p := decodeProblem(t, res, body); p.Status != 400 || p.Field != "format" {
		t.Errorf("format xml: got %s", body)
	}
	for name, media := range map[string]string{"json": "application/json", "csv": "text/csv",
		"ndjson": "application/x-ndjson"} {
		_, want := call(a, http.MethodGet, changesQuestion, "", "Accept", media)
		res, body := call(a, http.MethodGet, changesQuestion+"&format="+name, "", "Accept", "image/png")
		if body != want || res.Header.Get("Content-Type") != media {
			t.Errorf("format %s: got %s as %s", name, body, res.Header.Get("Content-Type"))
		}
	}
	if res, _ := call(a, http.MethodGet, changesQuestion, "", "Accept", "image/png"); res.StatusCode != 406 {
		t.Errorf("got %s", res.Status)
	}
	if res, _ := call(newAPI(t, newLayers(), nil), http.MethodGet, changesQuestion, ""); res.StatusCode != 404 {
		t.Errorf("without a reader: got %s", res.Status)
	}
}

// TestDocumentHasTheCauses compares the document's causes with those that there are.
func TestDocumentHasTheCauses(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(changes.Names, parse(t).Components.Schemas["ChangeCause"].Enum); diff != "" {
		t.Error(diff)
	}
	if all := changes.Causes(1<<len(changes.Names) - 1).List(); !slices.Equal(all, changes.Names) {
		t.Errorf("got %v", all)
	}
}
