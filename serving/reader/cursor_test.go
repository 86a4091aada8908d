package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
)

// TestPagesAreOneAnswer: all pages of a query together are one answer with a large limit, and have the groups that the
// oracle has, in any order, with any limits, and while newer publications come.
func TestPagesAreOneAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"))
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			w.log[0] = append(w.log[0], w.event())
		}
		w.publishAll()
		first := w.newest()
		r := pagesReader(t, w)
		q := drawPaged(t)
		whole := q
		whole.Limit = query.MaxLimit
		all, err := r.Answer(t.Context(), &whole, "default")
		if err != nil {
			t.Fatal(err)
		}
		scan, err := whole.Resolve(oracle.Catalog(), "default")
		if err != nil {
			t.Fatal(err)
		}
		groups := len(oracle.Rows(scan, w.log[0]))
		if len(q.GroupBy) == 0 && q.Granularity == "" {
			groups = 1
		}
		isWhole := !q.From.IsZero() && !q.Fill && len(q.Having) == 0 && q.PerWindow == 0
		if isWhole && all.Rows() != groups || all.Next != "" {
			t.Fatalf("%d rows for %d groups, next %q", all.Rows(), groups, all.Next)
		}
		want := rowTexts(all)
		var got []string
		for next := ""; ; {
			page := q
			page.Cursor = next
			page.Limit = rapid.IntRange(1, 5).Draw(t, "limit")
			page.Totals = rapid.Bool().Draw(t, "totals")
			a, err := r.Answer(t.Context(), &page, "default")
			if err != nil {
				t.Fatal(err)
			}
			if a.Accuracy.Publication != first.N || (a.Next != "") != a.Accuracy.Truncated || a.Rows() > page.Limit {
				t.Fatalf("a page of %d rows, next %q, accuracy %+v", a.Rows(), a.Next, a.Accuracy)
			}
			got = append(got, rowTexts(a)...)
			if next = a.Next; next == "" {
				break
			}
			w.log[0] = append(w.log[0], w.event())
			w.publishAll()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages have %q, want %q", got, want)
		}
	})
}

func drawPaged(t *rapid.T) query.Query {
	q := query.Query{View: "flights", Measures: []string{"n", "late", "tails"}, From: start,
		To: start.Add(3 * time.Hour), Mode: query.Exact, Fill: rapid.Bool().Draw(t, "fill")}
	if rapid.Bool().Draw(t, "grouped") {
		q.GroupBy = []string{"origin"}
	}
	if rapid.Bool().Draw(t, "windows") {
		q.Granularity = "30m"
		q.PerWindow = rapid.IntRange(0, 2).Draw(t, "limit per window")
	}
	if rapid.Bool().Draw(t, "open") {
		q.From = time.Time{}
	}
	if rapid.Bool().Draw(t, "having") {
		q.Having = []query.Condition{{Measure: "n", Op: "gt", Value: int64(1)}}
	}
	keys := slices.Concat([]string{"n", "late", "tails"}, q.GroupBy)
	if q.Granularity != "" {
		keys = append(keys, "time")
	}
	for _, by := range rapid.SliceOfDistinct(rapid.SampledFrom(keys), rapid.ID[string]).Draw(t, "order") {
		q.OrderBy = append(q.OrderBy, query.Order{By: by, Desc: rapid.Bool().Draw(t, "desc")})
	}
	return q
}

// publishAll makes a publication of all events.
func (w *world) publishAll() {
	s := &record.State{N: uint64(len(w.states)) + 1, Views: map[string]record.ViewState{"flights": {Digest: w.digest}},
		H: []position.Offset{{Seq: uint64(len(w.log[0])) + 1}, {Seq: 1}}}
	s.Publication = &record.Publication{N: s.N, Created: start}
	w.states = append(w.states, s)
}

// pagesReader reads a world that stands still between two calls.
func pagesReader(t rapid.TB, w *world) *Reader {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: stillWorld{w}, Batch: batchFuncs(
		func(s *record.State, scan *query.Scan) *query.Part {
			return oracle.Part(scan, w.events([]uint64{1, 1}, sequences(s.H)), oracle.Batch)
		})})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rowTexts returns each row of an answer as a text.
func rowTexts(a *merge.Answer) []string {
	var out []string
	for i := range a.Rows() {
		row := ""
		if a.Times != nil {
			row = fmt.Sprint(a.Times[i])
		}
		for _, d := range a.Dims {
			row += fmt.Sprintf(" %q %t", d.Strings[i], d.Null[i])
		}
		for _, m := range a.Measures {
			row += fmt.Sprintf(" %d %t", m.Value.Ints[i], m.Value.Null[i])
		}
		out = append(out, row)
	}
	return out
}

// TestCursorsAreRefused: a cursor is of its query, its tenant and a kept publication.
func TestCursorsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 60 {
		w.log[0] = append(w.log[0], w.event())
	}
	w.publishAll()
	r := pagesReader(t, w)
	q := query.Query{View: "flights", GroupBy: []string{"origin"}, Mode: query.Exact, Limit: 1}
	first := q
	a, err := r.Answer(t.Context(), &first, "default")
	if err != nil || a.Next == "" {
		t.Fatalf("got %+v, %v", a, err)
	}
	for name, change := range map[string]func(*query.Query){
		"another query": func(q *query.Query) { q.GroupBy = nil },
		"another order": func(q *query.Query) { q.OrderBy = []query.Order{{By: "n"}} },
		"another range": func(q *query.Query) { q.From = start },
		"per window": func(q *query.Query) {
			q.Granularity = "1h"
			q.PerWindow = 1
		},
		"as_of":   func(q *query.Query) { q.AsOf = new(uint64) },
		"merged":  func(q *query.Query) { q.Mode = query.Merged },
		"no mode": func(q *query.Query) { q.Mode = "" },
		"cut off": func(q *query.Query) { q.Cursor = q.Cursor[:len(q.Cursor)-4] },
		"garbage": func(q *query.Query) { q.Cursor = "!" },
		"long":    func(q *query.Query) { q.Cursor += q.Cursor + q.Cursor + q.Cursor + q.Cursor + q.Cursor },
	} {
		next := q
		next.Cursor = a.Next
		change(&next)
		var wrong *query.Error
		if _, err := r.Answer(t.Context(), &next, "default"); !errors.As(err, &wrong) || wrong.Field != "cursor" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	next := q
	next.Cursor = a.Next
	var wrong *query.Error
	if _, err := r.Answer(t.Context(), &next, "rival"); !errors.As(err, &wrong) || wrong.Field != "cursor" {
		t.Errorf("another tenant: got %v", err)
	}
	w.publishAll()
	w.oldest = 2
	if _, err := r.Answer(t.Context(), &next, "default"); !errors.Is(err, query.ErrCollected) {
		t.Errorf("a publication that is not kept: got %v", err)
	}
}

// TestLaterPagesDemandNothing: min_through, max_staleness, wait and as_of are about the first page. Later pages may
// have others or none, and are of the same publication, whatever its age.
func TestLaterPagesDemandNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 60 {
		w.log[0] = append(w.log[0], w.event())
	}
	w.publishAll()
	r := pagesReader(t, w)
	now := start
	r.Now = func() time.Time { return now }
	one := uint64(1)
	first := query.Query{View: "flights", GroupBy: []string{"origin"}, Mode: query.Exact, Limit: 1, AsOf: &one,
		MaxStaleness: "1m"}
	next := first
	a, err := r.Answer(t.Context(), &first, "default")
	if err != nil || a.Next == "" {
		t.Fatalf("got %+v, %v", a, err)
	}
	next.Cursor = a.Next
	now = start.Add(time.Hour)
	w.publishAll()
	for name, change := range map[string]func(*query.Query){
		"the same": func(*query.Query) {},
		"no as_of": func(q *query.Query) { q.AsOf = nil },
		"shorter":  func(q *query.Query) { q.MaxStaleness = "1s" },
		"none":     func(q *query.Query) { q.MaxStaleness = "" },
		"none, but a wait": func(q *query.Query) {
			q.MaxStaleness = ""
			q.Wait = "1s"
		},
		"what does not come": func(q *query.Query) { q.MinThrough = &query.MinThrough{Next: []uint64{1 << 40, 0}} },
	} {
		page := next
		change(&page)
		if err := r.Await(t.Context(), &page, "default", 0); err != nil {
			t.Errorf("%s: waits for %v", name, err)
		}
		if a, err := r.Answer(t.Context(), &page, "default"); err != nil || a.Accuracy.Publication != 1 {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
	}
	for name, wrong := range map[string]query.Query{"max_staleness": {MaxStaleness: "soon"}, "wait": {Wait: "long"}} {
		page := next
		page.MaxStaleness = wrong.MaxStaleness
		page.Wait = wrong.Wait
		if _, err := r.Answer(t.Context(), &page, "default"); err == nil {
			t.Errorf("a wrong %s is not refused", name)
		}
	}
}

// stillWorld gives the publications of a world without a step.
type stillWorld struct{ *world }

func (w stillWorld) Newest(context.Context) (*record.State, error) { return w.newest(), nil }

func (w stillWorld) StateAt(_ context.Context, n uint64) (*record.State, error) {
	if n < w.oldest {
		return nil, query.ErrCollected
	}
	return w.states[n-1], nil
}

// batchFuncs is a batch layer that calls a function with each scan.
type batchFuncs func(*record.State, *query.Scan) *query.Part

func (f batchFuncs) Scan(_ context.Context, s *record.State, scan *query.Scan, _ batchview.Options) (*query.Part,
	error) {
	return f(s, scan), nil
}
