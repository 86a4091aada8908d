package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
	"recount/serving/reader"
)

var start = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// layers is both layers and the publications over a fixed list of events.
type layers struct {
	events []oracle.Event
	// below is how many of the events are published.
	below int
	fill  *record.Fill // of the view flights
	err   error

	digest string       // of the publication
	scans  atomic.Int64 // of the batch layer
}

func (l *layers) state() *record.State {
	c := oracle.Catalog()
	return &record.State{N: 17, H: []position.Offset{{Seq: 3}}, Digest: cmp.Or(l.digest, "d17"),
		Publication: &record.Publication{N: 17, Created: start, Events: 2, Code: "test"},
		Views: map[string]record.ViewState{"flights": {Digest: c.Digest(c.Views["flights"]),
			Fill: l.fill, Buckets: []record.BucketVersion{{Bucket: start.UnixMicro(), Ver: 4, Rows: 2, Checksum: 9}}}},
		Types: map[string][]record.BucketCount{"flight": {{Bucket: start.UnixMicro(), Rows: 2, Duplicates: 1}}}}
}

func (l *layers) Newest(context.Context) (*record.State, error) { return l.state(), l.err }
func (l *layers) Pinned() []uint64                              { return []uint64{17} }
func (l *layers) Pin(ctx context.Context, n uint64) error {
	_, err := l.StateAt(ctx, n)
	return err
}
func (l *layers) Kept() []uint64 { return []uint64{16, 17} }

func (l *layers) Objects(_ context.Context, s *record.State, eventType string) ([]*record.Object, error) {
	if eventType != "flight" {
		return nil, nil
	}
	return []*record.Object{{Type: eventType, Key: fmt.Sprint("data/", s.N, ".parquet"), Size: 7, SHA256: "00",
		Rows: 3}}, nil
}

func (l *layers) StateAt(_ context.Context, n uint64) (*record.State, error) {
	switch {
	case n == 17:
		return l.state(), nil
	case n < 17:
		return nil, query.ErrCollected
	}
	return nil, query.ErrNoPublication
}

type batch struct{ *layers }

func (b batch) Scan(_ context.Context, _ *record.State, scan *query.Scan, o batchview.Options) (*query.Part, error) {
	b.scans.Add(1)
	published := b.events[:b.below]
	if o.Except != nil {
		published = oracle.Without(scan, published, o.Except.By, o.Except.Groups)
	}
	return oracle.Part(scan, published, oracle.Batch), nil
}

type live struct{ *layers }

func (l live) scan(_ context.Context, scan *query.Scan, _ []position.Offset) (*query.LivePart, error) {
	rest := l.events[l.below:]
	return &query.LivePart{Part: oracle.Part(scan, rest, oracle.Speed),
		Through: []position.Offset{{Seq: 3 + uint64(len(rest))}},
		Pending: uint64(len(rest)), Appended: start.UnixMicro()}, nil
}

func flight(minute int, origin, tail string) oracle.Event {
	return oracle.Event{Time: start.Add(time.Duration(minute) * time.Minute).UnixMicro(),
		Fields: map[string]any{"origin": origin, "tail": tail, "delay": int64(minute)}}
}

func newLayers() *layers {
	return &layers{below: 2,
		events: []oracle.Event{flight(0, "ORD", "N1"), flight(61, "ATL", "N2"), flight(62, "ATL", "N3")}}
}

func newAPI(t testing.TB, l *layers, change func(*Config, *Parts)) *API {
	t.Helper()
	r, err := reader.New(reader.Config{Catalog: oracle.Catalog(), Publications: l, Batch: batch{l},
		Live: oracle.OneByOne(live{l}.scan), Now: func() time.Time { return start.Add(12 * time.Millisecond) }})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	parts := Parts{Catalog: oracle.Catalog(), Answerer: r, Publications: l,
		Declarations: &declared{c: oracle.Catalog()}}
	if change != nil {
		change(&cfg, &parts)
	}
	a, err := New(cfg, parts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.EndStreams)
	return a
}

// declared is a catalog without a store.
type declared struct {
	n uint64
	c *catalog.Catalog
}

func (d *declared) Newest(context.Context) (uint64, *catalog.Catalog, error) { return d.n, d.c, nil }

func (d *declared) Propose(_ context.Context, change func(*catalog.Catalog) (*catalog.Catalog, error)) (uint64, error) {
	c, err := change(d.c)
	if err == nil && declaration.Tag(declaration.OfCatalog(c)) != declaration.Tag(declaration.OfCatalog(d.c)) {
		d.n++
		d.c = c
	}
	return d.n, err
}

func (d *declared) Apply(_ context.Context, file *catalog.Catalog, dry bool) (*Applied, error) {
	before := d.c
	if !dry {
		d.n++
		d.c = file
	}
	return &Applied{Generation: d.n, Before: before, After: file}, nil
}

func (d *declared) Preview(_ context.Context, _ *catalog.Catalog, views []*catalog.View) ([]openapi.Preview, error) {
	var out []openapi.Preview
	for _, v := range views {
		out = append(out, openapi.Preview{View: v.Name, Rows: []openapi.PreviewRow{}})
	}
	return out, nil
}

// serveMux returns a handler with all routes of the API.
func serveMux(a *API) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range a.Routes() {
		mux.Handle(pattern, h)
	}
	return mux
}

// call sends a request and returns the response with its body.
func call(a *API, method, target, body string, headers ...string) (*http.Response, string) {
	r := httptest.NewRequestWithContext(access.NewContext(context.Background(), access.Local()), method, target,
		strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	serveMux(a).ServeHTTP(w, r)
	out, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(out)
}

func decodeProblem(t testing.TB, res *http.Response, body string) problem.Problem {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil ||
		res.Header.Get("Content-Type") != problem.ContentType {
		t.Fatalf("%s %q: not a problem: %v", res.Status, body, err)
	}
	if p.Status != res.StatusCode || p.Title == "" || p.Detail == "" || p.Code == "" {
		t.Errorf("incomplete problem: %s", body)
	}
	return p
}

// answerFunc is an Answerer that waits for nothing.
type answerFunc func(ctx context.Context) (*merge.Answer, error)

func (f answerFunc) Await(context.Context, *query.Query, string, time.Duration) error { return nil }

func (f answerFunc) Answer(ctx context.Context, _ *query.Query, _ string) (*merge.Answer, error) {
	return f(ctx)
}

func (f answerFunc) Identity(context.Context, *query.Query, string) (string, error) { return "", nil }

func (f answerFunc) Standing(context.Context, *query.Query, string) (string, error) { return "", nil }

func (f answerFunc) AnswerAll(ctx context.Context, queries []*query.Query, _ string) (*reader.Answers, error) {
	answers := &reader.Answers{}
	for range queries {
		a, err := f(ctx)
		if err != nil {
			return nil, err
		}
		answers.Results = append(answers.Results, reader.Result{Answer: a})
	}
	return answers, nil
}
