package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
)

// chooseOthers makes some queries show few of their groups, and ask for the others.
func (w *world) chooseOthers(q *query.Query) {
	if w.rng.IntN(4) > 0 {
		return
	}
	if q.Cumulative || q.Rolling != "" {
		q.Measures = []string{"n", "late", "lateness"}
		q.Derived = nil
	}
	q.Others = true
	q.Limit = 1 + w.rng.IntN(4)
}

// checkOthers compares the others of an answer, by window, with a naive grouping of all that its rows do not show.
func checkOthers(q *query.Query, scan *query.Scan, a *merge.Answer, rows []*oracle.Row, events []oracle.Event) error {
	_, others := q.OtherGroups(scan)
	want := map[int]*oracle.Row{}
	shown := 0
	for _, r := range rows {
		if findRow(a, scan.Windows.Start(r.Window), r.Keys[0]) < a.Rows() {
			shown++
			continue
		}
		if want[r.Window] == nil {
			want[r.Window] = &oracle.Row{Window: r.Window}
		}
		want[r.Window].Events = append(want[r.Window].Events, r.Events...)
	}
	if shown != min(q.Limit, len(rows)) || a.Others == nil || a.Others.Rows() != len(want) {
		return fmt.Errorf("%d rows of %d, others %+v, want %d windows", shown, len(rows), a.Others, len(want))
	}
	for i, t := range a.Others.Times {
		w := slices.IndexFunc(rows, func(r *oracle.Row) bool { return scan.Windows.Start(r.Window) == t })
		r := want[rows[w].Window]
		if r == nil {
			return fmt.Errorf("others in window %d, all of whose groups are shown", rows[w].Window)
		}
		if err := checkMeasures(others, a.Others, i, r); err != nil {
			return err
		}
		if scan.Comparison != nil {
			if err := checkOthersBefore(scan, a, i, r.Window, events); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOthersBefore compares the earlier values of a row of others.
func checkOthersBefore(scan *query.Scan, a *merge.Answer, i, w int, events []oracle.Event) error {
	before := scan.Earlier()
	want := &oracle.Row{Window: int(scan.Comparison.Places[w])}
	for _, r := range oracle.Rows(before, events) {
		if r.Window == want.Window && findRow(a, scan.Windows.Start(w), r.Keys[0]) == a.Rows() {
			want.Events = append(want.Events, r.Events...)
		}
	}
	if missing := len(want.Events) == 0; missing || a.Others.Previous.Missing[i] {
		if missing != a.Others.Previous.Missing[i] {
			return fmt.Errorf("the earlier others are missing: %t", !missing)
		}
		return nil
	}
	return checkMeasures(before, a.Others.Previous, i, want)
}

// TestOthersAreRefused: an error says why a query has no others.
func TestOthersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 60 {
		w.log[0] = append(w.log[0], w.event())
	}
	w.publishAll()
	r := pagesReader(t, w)
	page := func(change func(*query.Query)) error {
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), GroupBy: []string{"origin"},
			Mode: query.Exact, Limit: 1, Others: true, Measures: []string{"n"}}
		change(q)
		a, err := r.Answer(t.Context(), q, "default")
		if err == nil && a.Others == nil {
			t.Error("no others")
		}
		return err
	}
	q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), GroupBy: []string{"origin"},
		Mode: query.Exact, Limit: 1, Measures: []string{"n"}}
	a, err := r.Answer(t.Context(), q, "default")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*query.Query)
		fails  bool
	}{
		"as it is":        {func(*query.Query) {}, false},
		"no groups":       {func(q *query.Query) { q.GroupBy = nil }, true},
		"the second page": {func(q *query.Query) { q.Cursor = a.Next }, true},
		"sums over time": {func(q *query.Query) {
			q.Granularity = "1h"
			q.Cumulative = true
		}, false},
		"rolling distinct": {func(q *query.Query) {
			q.Granularity = "1h"
			q.Rolling = "2h"
			q.Measures = nil
		}, true},
		"derived distinct": {func(q *query.Query) {
			q.Granularity = "1h"
			q.Cumulative = true
			q.Derived = []query.Derived{{Name: "ratio", Expression: "n / tails"}}
		}, true},
		"order by distinct": {func(q *query.Query) {
			q.Granularity = "1h"
			q.Cumulative = true
			q.OrderBy = []query.Order{{By: "tails"}}
		}, false},
	} {
		err := page(c.change)
		if wrong := (*query.Error)(nil); c.fails != (errors.As(err, &wrong) && wrong.Field == "others") ||
			!c.fails && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fewGroups is a batch layer that leaves out no groups: there are always too many.
type fewGroups struct{ *world }

func (b fewGroups) Scan(_ context.Context, s *record.State, scan *query.Scan, opts batchview.Options) (*query.Part,
	error) {
	if opts.Except != nil {
		return nil, &batchview.LimitError{Reason: "too many groups"}
	}
	return oracle.Part(scan, b.events([]uint64{1, 1}, sequences(s.H)), oracle.Batch), nil
}

// TestNoOthersAreNotAskedFor: the batch layer is asked for distinct counts of the others only if it has some.
func TestNoOthersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for range 60 {
		w.log[0] = append(w.log[0], w.event())
	}
	w.publishAll()
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: stillWorld{w}, Batch: fewGroups{w}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*query.Query)
		rows   int // -1 if it is refused
	}{
		"all shown":  {func(*query.Query) {}, 0},
		"one window": {func(q *query.Query) { q.Granularity = "" }, 1},
		"some shown": {func(q *query.Query) { q.Limit = 1 }, -1},
		"some left out": {func(q *query.Query) {
			q.Having = []query.Condition{{Measure: "n", Op: "lt", Value: 1}}
		}, -1},
		"an earlier range": {func(q *query.Query) {
			q.From = start.Add(time.Hour)
			q.To = start.Add(2 * time.Hour)
			q.Compare = "previous_period"
		}, 0},
	} {
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), GroupBy: []string{"origin"},
			Granularity: "30m", Mode: query.Exact, Limit: 1000, Others: true, Measures: []string{"n", "tails"}}
		c.change(q)
		a, err := r.Answer(t.Context(), q, "default")
		switch limit := (*batchview.LimitError)(nil); {
		case c.rows < 0 && !errors.As(err, &limit), c.rows >= 0 && err != nil:
			t.Errorf("%s: got %v", name, err)
		case err == nil && (a.Rows() == 0 || a.Others.Rows() != c.rows):
			t.Errorf("%s: %d rows and %d of others, want %d", name, a.Rows(), a.Others.Rows(), c.rows)
		}
	}
}
