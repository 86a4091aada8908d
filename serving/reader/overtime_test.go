package reader

import (
	"context"
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

// chooseOverTime makes some queries relate windows or ranges to each other.
func (w *world) chooseOverTime(q *query.Query) {
	if q.IsOpen() { // check takes accuracy.range for the range of an open query.
		return
	}
	switch w.rng.IntN(6) {
	case 0:
		q.Cumulative = true
	case 1:
		q.Rolling = "2h"
		q.Totals = false
	case 2, 3:
		q.From = start.Add(2 * time.Hour)
		q.To = start.Add(3 * time.Hour)
		if w.rng.IntN(2) == 0 {
			q.To = start.Add(4 * time.Hour)
		}
		q.Compare = query.PreviousPeriod
		if q.Cumulative = w.rng.IntN(3) == 0; !q.Cumulative && w.rng.IntN(2) == 0 {
			q.Rolling = "2h"
			q.Totals = false
		}
	}
}

// withEarlierGroups adds rows for groups that only the earlier range has.
func withEarlierGroups(scan *query.Scan, rows []*oracle.Row, events []oracle.Event) []*oracle.Row {
	if scan.Comparison == nil {
		return rows
	}
	for _, e := range oracle.Rows(scan.Earlier(), events) {
		row := &oracle.Row{Window: slices.Index(scan.Comparison.Places, int32(e.Window)), Keys: e.Keys}
		if row.Window >= 0 && !slices.ContainsFunc(rows, row.Same) {
			rows = append(rows, row)
		}
	}
	return rows
}

func overflowOverTime(scan *query.Scan, events []oracle.Event) query.Overflow {
	out := oracle.Overflow(scan, events)
	if scan.Comparison != nil {
		out.Add(oracle.Overflow(scan.Earlier(), events))
	}
	return out
}

// checkPrevious compares the earlier values of a row with naive ones.
func checkPrevious(scan *query.Scan, a *merge.Answer, i int, r *oracle.Row, events []oracle.Event) error {
	if (a.Previous == nil) != (scan.Comparison == nil) {
		return fmt.Errorf("earlier values: %t", a.Previous != nil)
	}
	if scan.Comparison == nil {
		return nil
	}
	earlier := &oracle.Row{Window: int(scan.Comparison.Places[r.Window]), Keys: r.Keys}
	rows := oracle.Rows(scan.Earlier(), events)
	at := slices.IndexFunc(rows, earlier.Same)
	switch {
	case a.Previous.Missing[i] != (at < 0):
		return fmt.Errorf("earlier values of %v are missing: %t", r.Keys, at >= 0)
	case at < 0:
		return nil
	}
	return checkMeasures(scan, a.Previous, i, rows[at])
}

// TestRangesOverTime: the accuracy names what was counted beside the range of the query.
func TestRangesOverTime(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published()}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: f, Batch: noRows{}})
	if err != nil {
		t.Fatal(err)
	}
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	for name, c := range map[string]struct {
		q                 query.Query
		covered, previous *query.Range
	}{
		"plain":      {query.Query{}, nil, nil},
		"cumulative": {query.Query{Granularity: "1d", Cumulative: true}, nil, nil},
		"rolling":    {query.Query{Granularity: "1d", Rolling: "7d"}, &query.Range{From: day(-6), To: day(2)}, nil},
		"compare": {query.Query{Compare: query.PreviousPeriod}, nil,
			&query.Range{From: day(-2), To: day(0)}},
		"both": {query.Query{Granularity: "1d", Rolling: "7d", Compare: query.PreviousPeriod},
			&query.Range{From: day(-6), To: day(2)}, &query.Range{From: day(-8), To: day(0)}},
	} {
		c.q.View = "flights"
		c.q.From = day(0)
		c.q.To = day(2)
		a, err := r.Answer(t.Context(), &c.q, "default")
		if err != nil {
			t.Fatal(err)
		}
		same := func(a, b *query.Range) bool {
			return a == nil && b == nil || a != nil && b != nil && a.From.Equal(b.From) && a.To.Equal(b.To)
		}
		if !same(a.Accuracy.Range, c.covered) || !same(a.Accuracy.PreviousRange, c.previous) {
			t.Errorf("%s: got %+v and %+v", name, a.Accuracy.Range, a.Accuracy.PreviousRange)
		}
	}
}

// sketchedBatch notes for which windows it is asked for sets.
type sketchedBatch struct{ asked map[string][]int32 }

func (b sketchedBatch) Scan(_ context.Context, _ *record.State, s *query.Scan, o batchview.Options) (*query.Part,
	error) {
	kind := "apart"
	if s.Overlap.Width > 0 {
		kind = "overlapping"
	}
	b.asked[kind] = o.Sketches
	return oracle.Part(s, nil, oracle.Batch), nil
}

// TestOverlappingWindowsNeedSets: the batch layer is asked for the sets of all windows that have a live event, also
// where it is in a window before. It is asked for no sets by windows that do not overlap.
func TestOverlappingWindowsNeedSets(t *testing.T) {
	t.Parallel()
	event := oracle.Event{Time: start.Add(25 * time.Hour).UnixMicro(), Fields: map[string]any{"tail": "N1"}}
	live := liveFunc(func(s *query.Scan) *query.LivePart {
		return &query.LivePart{Part: oracle.Part(s, []oracle.Event{event}, oracle.Speed), Through: published().H}
	})
	batch := sketchedBatch{map[string][]int32{}}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: &fixed{state: published()}, Batch: batch, Live: live})
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{View: "flights", From: start, To: start.AddDate(0, 0, 5), Granularity: "1d", Rolling: "2d"}
	if _, err := r.Answer(t.Context(), q, "default"); err != nil {
		t.Fatal(err)
	}
	if want := []int32{2, 3}; !slices.Equal(batch.asked["overlapping"], want) || batch.asked["apart"] != nil {
		t.Errorf("sets of windows %v were asked for, want %v", batch.asked, want)
	}
}
