package merge

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/query"
	"recount/schemas/window/windowtest"
	"recount/serving/oracle"
)

var start = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

func anyValue(v *Values, row int) any {
	switch {
	case v.Null[row]:
		return nil
	case v.Floats != nil:
		return v.Floats[row]
	}
	return v.Ints[row]
}

func anyKey(d *Dimension, row int) any {
	switch {
	case d.IsNull(row):
		return nil
	case d.Type == catalog.String:
		return d.Strings[row]
	case d.Type == catalog.Bool:
		return d.Ints[row] == 1
	}
	return d.Ints[row]
}

func drawQuery(t *rapid.T) *query.Query {
	q := &query.Query{View: "flights", From: start, To: start.Add(6 * time.Hour)}
	q.Granularity = rapid.SampledFrom([]string{"", "1h", "15m", "1d"}).Draw(t, "granularity")
	names := []string{"time", "n", "late", "mean", "worst", "far", "usual", "short", "first", "tails",
		"lateness.p99", "length.p50"}
	for _, d := range []string{"origin", "delay", "cancelled"} {
		if rapid.Bool().Draw(t, d) {
			q.GroupBy = append(q.GroupBy, d)
			names = append(names, d)
		}
	}
	all := rapid.SampledFrom([][]string{nil, nil, {"n"}, {"far", "late"},
		{"first", "mean", "short", "usual", "worst"}, {"length.p0", "length.p99.9", "n", "lateness"}})
	q.Measures = all.Draw(t, "measures")
	q.Derived = oracle.DrawDerived(t, 3)
	for _, d := range q.Derived {
		names = append(names, d.Name)
	}
	for _, by := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID[string]).Draw(t, "order") {
		if by != "time" || q.Granularity != "" {
			q.OrderBy = append(q.OrderBy, query.Order{By: by, Desc: rapid.Bool().Draw(t, "desc")})
		}
	}
	q.Limit = rapid.SampledFrom([]int{0, 1, 3, 50}).Draw(t, "limit")
	if q.IsWindowed() {
		q.PerWindow = rapid.SampledFrom([]int{0, 0, 1, 2, 5}).Draw(t, "limit per window")
	}
	q.Fill = rapid.Bool().Draw(t, "fill")
	if rapid.Bool().Draw(t, "has having") {
		q.Having = oracle.DrawHaving(t, 2, q.Derived)
	}
	return q
}

func resolve(t interface{ Fatal(...any) }, q *query.Query) *query.Scan {
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return scan
}

// TestMergeIsTheWhole cuts random events in two, merges the parts of both halves, and compares
// the answer with a naive grouping of all events. No event is missed or counted twice (Q5), and
// rows are in the documented order.
func TestMergeIsTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuery(t)
		drawOverTime(t, q)
		checkMerge(t, q, oracle.Draw(t, start.Add(-6*time.Hour), 12*60, 120))
	})
}

// TestMergeOverCalendars does the same over ranges that are drawn from calendars.
func TestMergeOverCalendars(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, time.Minute)
		if rapid.IntRange(0, 3).Draw(t, "long last") == 0 {
			c = rapid.SampledFrom(windowtest.LongLast()).Draw(t, "calendar")
		}
		q := drawQuery(t)
		q.OrderBy = nil // It may be by time, which granularity all does not have.
		q.From = c.From
		q.To = c.To
		q.Granularity = c.Granularity
		if !q.IsWindowed() {
			q.PerWindow = 0
		}
		q.TimeZone = c.Zone
		drawOverTime(t, q)
		scan, err := q.Resolve(oracle.Catalog(), "default")
		if err != nil {
			t.Skip(err) // A window begins inside a cell, or there are too many.
		}
		if scan.Overlap.Width > 0 && scan.Windows.Len() > 60 {
			t.Skip("too many rows for a naive grouping")
		}
		q.Fill = q.Fill && scan.Windows.Len() < 20
		events := oracle.DrawIn(t, scan.Windows, 60)
		if scan.Comparison != nil {
			events = slices.Concat(oracle.DrawIn(t, scan.Comparison.Windows, 30), events)
		}
		checkMerge(t, q, events)
	})
}

// checkMerge cuts the events in two, merges both parts and compares the answer with a naive grouping.
func checkMerge(t *rapid.T, q *query.Query, events []oracle.Event) {
	scan := resolve(t, q)
	cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
	batch := unitedPart(t, scan, events[:cut], oracle.Batch)
	live := unitedPart(t, scan, events[cut:], oracle.Speed)
	a, earlierLive := mergeOverTime(t, scan, q, batch, live, events, cut)
	all := withEarlierGroups(scan, oracle.Rows(scan, events), events)
	isTotal := len(q.GroupBy) == 0 && (q.Granularity == "" || q.Granularity == "all")
	if q.Fill || isTotal {
		all = fillNaively(scan, all)
	}
	all = slices.DeleteFunc(all, func(r *oracle.Row) bool { return !r.Has(scan, scan.Having) })
	sortNaively(scan, q, all)
	all = firstOfWindows(all, q.PerWindow)
	want := all[:min(len(all), q.Limit)]
	overflow := overflowOverTime(scan, events, cut)
	if a.Rows() != len(want) || a.Accuracy.Truncated != (len(want) < len(all)) ||
		a.Accuracy.Exact != (live.Rows()+earlierLive == 0 && overflow.Events == 0) {
		t.Fatalf("%d rows of %d, %+v", a.Rows(), len(all), a.Accuracy)
	}
	if got := a.Accuracy.Overflow; (got == nil) != (overflow.Events == 0) || got != nil && *got != overflow {
		t.Fatalf("overflow %+v, want %+v", got, overflow)
	}
	var names []string
	for _, m := range a.Measures {
		names = append(names, m.Name)
	}
	returned := slices.Clone(q.Measures)
	for _, d := range q.Derived {
		returned = append(returned, d.Name)
	}
	if !slices.Equal(names, returned) {
		t.Fatalf("measures %v, want %v", names, returned)
	}
	for i, r := range want {
		checkRow(t, scan, a, i, r, oracle.Rows(scan, events[cut:]))
		checkPrevious(t, scan, a, i, r, events)
	}
	checkOthers(t, q, scan, a, want, events, cut)
	if q.Rolling == "" {
		apart := *scan
		apart.Overlap = query.Overlap{}
		checkTotals(t, q, &apart, events, cut, oracle.Part(&apart, events[:cut], oracle.Batch),
			oracle.Part(&apart, events[cut:], oracle.Speed))
	}
}

// checkTotals makes totals of parts and compares them with a naive grouping of all events in one group.
func checkTotals(t *rapid.T, q *query.Query, scan *query.Scan, events []oracle.Event, cut int,
	batch, live *query.Part) {
	all, totals, err := q.AllGroups(scan)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(totals.Measures, func(m query.Measure) bool { return m.Kind == catalog.Distinct }) {
		batch = oracle.Part(totals, events[:cut], oracle.Batch) // As the reader asks for it.
	} else {
		batch = Total(totals, batch)
	}
	a, err := Merge(totals, all, batch, Total(totals, live), query.Accuracy{})
	if err != nil || a.Rows() != 1 {
		t.Fatalf("%d rows of totals, %v", a.Rows(), err)
	}
	row := fillNaively(totals, oracle.Rows(totals, events))[0]
	checkRow(t, totals, a, 0, row, oracle.Rows(totals, events[cut:]))
	answer := &Answer{}
	answer.SetTotals(a)
	for _, m := range a.Measures {
		named := slices.Contains(answer.Accuracy.TotalsOutOfRange, m.Name)
		if named != isNamed(a.Accuracy.OutOfRange, m.Name, 0) {
			t.Fatalf("%s is named out of range: %t", m.Name, named)
		}
	}
}

// TestTotalOfNothing: a total has a row without an event too. Its counts are 0, and its other measures null. Groups and
// windows have none.
func TestTotalOfNothing(t *testing.T) {
	t.Parallel()
	for _, q := range []*query.Query{{}, {Granularity: "all"}, {Granularity: "1h"}, {GroupBy: []string{"origin"}}} {
		q.View = "flights"
		q.From = start
		q.To = start.Add(time.Hour)
		scan := resolve(t, q)
		want := 0
		if q.Granularity != "1h" && q.GroupBy == nil {
			want = 1
		}
		a, err := Merge(scan, q, oracle.Part(scan, nil, oracle.Batch), nil, query.Accuracy{})
		if err != nil || a.Rows() != want {
			t.Fatalf("%+v: got %d rows, %v, want %d", q, a.Rows(), err, want)
		}
		for _, m := range a.Measures {
			isCount := m.Kind == catalog.Count || m.Kind == catalog.Distinct
			if want == 1 && (m.Value.Null[0] == isCount || isCount && m.Value.Ints[0] != 0) {
				t.Errorf("%s: got %+v", m.Name, m.Value)
			}
		}
	}
}

func fillNaively(scan *query.Scan, rows []*oracle.Row) []*oracle.Row {
	groups := [][]any{}
	if len(scan.GroupBy) == 0 {
		groups = append(groups, []any{})
	}
	for _, r := range rows {
		if !slices.ContainsFunc(groups, func(k []any) bool { return slices.Equal(k, r.Keys) }) {
			groups = append(groups, r.Keys)
		}
	}
	for w := scan.Overlap.First; w < scan.Windows.Len(); w++ {
		for _, k := range groups {
			if !slices.ContainsFunc(rows,
				func(r *oracle.Row) bool { return r.Window == w && slices.Equal(r.Keys, k) }) {
				rows = append(rows, &oracle.Row{Window: w, Keys: k})
			}
		}
	}
	return rows
}

// firstOfWindows leaves out the rows after the first of their windows.
func firstOfWindows(rows []*oracle.Row, limit int) []*oracle.Row {
	var out []*oracle.Row
	had := map[int]int{}
	for _, r := range rows {
		if had[r.Window]++; limit == 0 || had[r.Window] <= limit {
			out = append(out, r)
		}
	}
	return out
}

// sortNaively orders rows by comparing values one by one.
func sortNaively(scan *query.Scan, q *query.Query, rows []*oracle.Row) {
	keys := slices.Clone(q.OrderBy)
	for _, name := range append([]string{"time"}, q.GroupBy...) {
		keys = append(keys, query.Order{By: name})
	}
	slices.SortStableFunc(rows, func(x, y *oracle.Row) int {
		for _, o := range keys {
			var c int
			if o.By == "time" {
				c = oracle.Compare(int64(x.Window), int64(y.Window), o.Desc)
			} else if d := slices.Index(q.GroupBy, o.By); d >= 0 {
				c = oracle.Compare(x.Keys[d], y.Keys[d], o.Desc)
			} else {
				c = oracle.Compare(x.Value(scan, o.By), y.Value(scan, o.By), o.Desc)
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

func checkRow(t *rapid.T, scan *query.Scan, a *Answer, i int, want *oracle.Row, live []*oracle.Row) {
	if a.Windowed && a.Times[i] != scan.Windows.Start(want.Window) {
		t.Fatalf("row %d: time %d, want window %d", i, a.Times[i], want.Window)
	}
	for d := range a.Dims {
		if got := anyKey(&a.Dims[d], i); got != want.Keys[d] {
			t.Fatalf("row %d: %s is %v, want %v", i, a.Dims[d].Name, got, want.Keys[d])
		}
	}
	liveRow := slices.IndexFunc(live, want.Same)
	if a.IsLive(i) != (liveRow >= 0) {
		t.Fatalf("row %d: live %v", i, a.IsLive(i))
	}
	for j := range a.Measures {
		m := &a.Measures[j]
		truth := want.Value(scan, m.Name)
		if got := anyValue(&m.Value, i); got != truth {
			t.Fatalf("row %d: %s is %v, want %v", i, m.Name, got, truth)
		}
		if m.Bounded(i) && !isWithin(m, i, truth) {
			t.Fatalf("row %d: %s is %v, and its bounds are %+v and %+v", i, m.Name, truth, m.Low, m.High)
		}
		if m.IsDerived() {
			if named := isNamed(a.Accuracy.OutOfRange, m.Name, i); named != want.ReadsOutOfRange(scan, m.Name) {
				t.Fatalf("row %d: %s is named out of range: %t", i, m.Name, named)
			}
			continue
		}
		if liveRow >= 0 && m.Kind != catalog.Distinct &&
			anyValue(&m.Live, i) != live[liveRow].Measure(scan.Measures[j]) {
			t.Fatalf("row %d: live %s is %v", i, m.Name, anyValue(&m.Live, i))
		}
		if m.Kind == catalog.Quantile {
			checkQuantile(t, want, scan.Measures[j], m, i)
		} else if m.Bounded(i) {
			t.Fatalf("row %d: %s of a small set has bounds", i, m.Name)
		}
		beyond := want.OutOfRange(scan.Measures[j]) || liveRow >= 0 && live[liveRow].OutOfRange(scan.Measures[j])
		if named := isNamed(a.Accuracy.OutOfRange, m.Name, i); named != beyond {
			t.Fatalf("row %d: %s is named out of range: %t, want %t", i, m.Name, named, beyond)
		}
	}
}

// isWithin reports whether a value lies in the bounds of a row. Null is in the widest ones alone.
func isWithin(m *Measure, row int, v any) bool {
	switch v := v.(type) {
	case int64:
		return m.Low.Ints[row] <= v && v <= m.High.Ints[row]
	case float64:
		return m.Low.Floats[row] <= v && v <= m.High.Floats[row]
	}
	if m.Type == catalog.Float64 {
		return m.High.Floats[row] == math.MaxFloat64
	}
	return m.High.Ints[row] == math.MaxInt64
}

// checkQuantile checks that the bounds of a quantile are those of the bin of the true one.
func checkQuantile(t *rapid.T, want *oracle.Row, measure query.Measure, m *Measure, i int) {
	_, low, high := want.Quantile(measure)
	if low == nil {
		if m.Bounded(i) {
			t.Fatalf("row %d: %s has no value, but bounds", i, m.Name)
		}
		return
	}
	gotLow := anyValue(&m.Low, i)
	gotHigh := anyValue(&m.High, i)
	if gotLow != low || gotHigh != high || m.Bounded(i) != (low != high) {
		t.Fatalf("row %d: %s is from %v to %v, want %v to %v", i, m.Name, gotLow, gotHigh, low, high)
	}
}

func isNamed(named []query.OutOfRange, measure string, row int) bool {
	return slices.ContainsFunc(named, func(o query.OutOfRange) bool {
		return o.Measure == measure && slices.Contains(o.Rows, row) && o.Count == len(o.Rows)
	})
}

// TestDistinctBoundsHold merges batch and live sets of many sizes and overlaps, on both sides of
// the limit of exact sketches. Where the hashes of both are at hand, the count is exact. Otherwise the true count must
// be within the bounds, and a value without bounds must be right.
func TestDistinctBoundsHold(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 30, 900, 1024, 1025, 5000, distinct.MaxHashes, 40_000}
	for _, inBatch := range sizes {
		for _, inLive := range sizes[:7] {
			for _, shared := range []int{0, inLive / 3, inLive} {
				checkBounds(t, inBatch, inLive, min(shared, inBatch))
			}
		}
	}
}

func checkBounds(t *testing.T, inBatch, inLive, shared int) {
	hash := func(i int) uint64 { return distinct.HashString(fmt.Sprint(inBatch, "/", inLive, "/", i)) }
	var hashes []uint64
	for i := range inBatch {
		hashes = append(hashes, hash(i))
	}
	live := &distinct.Sketch{}
	for i := inBatch - shared; i < inBatch-shared+inLive; i++ {
		live.Add(hash(i))
	}
	truth := int64(inBatch + inLive - shared)
	s := new(scratch)
	if inBatch <= distinct.MaxHashes && live.Exact() {
		d := mergeDistinct(&query.Acc{Exact: uint64(inBatch), Set: distinct.SetOf(hashes)}, &query.Acc{Sketch: live}, s)
		if want := (bounds{value: truth, low: truth, high: truth, added: truth - int64(inBatch)}); d != want {
			t.Errorf("batch %d, live %d, shared %d: got %+v, want %+v", inBatch, inLive, shared, d, want)
		}
	}
	d := mergeDistinct(&query.Acc{Exact: uint64(inBatch), Set: distinct.SetOfRegisters(distinct.AppendRegisters(nil,
		hashes))}, &query.Acc{Sketch: live}, s)
	if truth < d.low || truth > d.high || d.value < d.low || d.value > d.high || d.value != int64(inBatch)+d.added {
		t.Errorf("batch %d, live %d, shared %d: bounds %+v do not contain %d", inBatch, inLive, shared, d, truth)
	}
	if off := math.Abs(float64(d.value - truth)); off > 1+float64(BoundErrors)*distinct.StandardError*float64(truth) {
		t.Errorf("batch %d, live %d, shared %d: %d is far from %d", inBatch, inLive, shared, d.value, truth)
	}
	if inLive == 0 && d.low != d.high || inBatch == 0 && live.Exact() && d.low != d.high {
		t.Errorf("batch %d, live %d: %+v is not exact", inBatch, inLive, d)
	}
}

// TestOutOfRangeCostsItsOwnGroup: a sum that does not fit its type is null and named. Other groups answer.
func TestOutOfRangeCostsItsOwnGroup(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", Measures: []string{"late", "far", "usual"}, From: start,
		To: start.Add(time.Hour), GroupBy: []string{"origin"}}
	scan := resolve(t, q)
	at := func(origin string, delay int64, miles float64) oracle.Event {
		return oracle.Event{Time: start.UnixMicro(),
			Fields: map[string]any{"origin": origin, "delay": delay, "miles": miles}}
	}
	batch := []oracle.Event{at("A", math.MaxInt64, 1e308), at("B", 1, 1), at("C", math.MinInt64, -1e308)}
	live := []oracle.Event{at("A", 1, 1e308), at("B", 2, 0.5), at("C", math.MaxInt64, 1e308), at("C", 0, 0)}
	a, err := Merge(scan, q, oracle.Part(scan, batch, oracle.Batch), oracle.Part(scan, live, oracle.Speed),
		query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for i := range a.Rows() {
		got = append(got, anyValue(&a.Measures[0].Value, i), anyValue(&a.Measures[1].Value, i),
			anyValue(&a.Measures[2].Value, i))
	}
	want := []any{nil, nil, 1e308, int64(3), 1.5, 0.75, int64(-1), 0.0, 0.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
	named := []query.OutOfRange{{Measure: "far", Count: 1, Rows: []int{0}}, {Measure: "late", Count: 1, Rows: []int{0}}}
	slices.SortFunc(a.Accuracy.OutOfRange,
		func(x, y query.OutOfRange) int { return strings.Compare(x.Measure, y.Measure) })
	if diff := cmp.Diff(named, a.Accuracy.OutOfRange); diff != "" {
		t.Errorf("named (-want +got): %s", diff)
	}
}

// TestExtremeOfZeros: whether 0 or -0 comes first depends on the order of rows, so both are 0.
func TestExtremeOfZeros(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", Measures: []string{"short"}, From: start, To: start.Add(time.Hour)}
	scan := resolve(t, q)
	p := &query.Part{Windows: []int32{0}, Events: []uint64{1},
		Measures: [][]query.Acc{{{N: 1, Float: math.Copysign(0, -1)}}}}
	a, err := Merge(scan, q, p, nil, query.Accuracy{})
	if err != nil || math.Signbit(a.Measures[0].Value.Floats[0]) {
		t.Errorf("got %v, %v", a.Measures[0].Value, err)
	}
}

func TestFillIsBounded(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", Measures: []string{"n"}, From: start, To: start.AddDate(1, 0, 0),
		Granularity: "1m", GroupBy: []string{"delay"}, Fill: true}
	scan := resolve(t, q)
	p := &query.Part{Windows: []int32{0, 0}, Events: []uint64{1, 1}, Measures: [][]query.Acc{{{N: 1}, {N: 1}}},
		Dims: []query.Column{{Type: catalog.Int64, Ints: []int64{1, 2}}}}
	var fill *FillError
	if _, err := Merge(scan, q, p, nil, query.Accuracy{}); !errors.As(err, &fill) {
		t.Errorf("got %v", err)
	}
}

// TestKeysKeepTheOrder covers the widest ranges that a rank can hold.
func TestKeysKeepTheOrder(t *testing.T) {
	t.Parallel()
	values := []int64{math.MinInt64, 0, math.MaxInt64, 5}
	for _, desc := range []bool{false, true} {
		raw := make([]uint64, len(values))
		for i, v := range values {
			raw[i] = ordinal(v)
		}
		k := newKey(raw, []bool{false, false, false, true}, desc)
		got := []int{0, 1, 2, 3}
		slices.SortFunc(got, func(a, b int) int { return int(int64(k.rank[a])) - int(int64(k.rank[b])) })
		want := map[bool][]int{false: {0, 1, 2, 3}, true: {2, 1, 0, 3}}[desc]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("desc %v: %s", desc, diff)
		}
	}
}

func TestRadixSortSorts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(1, 64).Draw(t, "bits")
		words := rapid.SliceOf(rapid.Uint64Range(0, math.MaxUint64>>(64-bits))).Draw(t, "words")
		entries := make([]entry, len(words))
		for i, w := range words {
			entries[i] = entry{w, int32(i)}
		}
		got := radixSort(entries, bits)
		slices.Sort(words)
		for i := range words {
			if got[i].word != words[i] {
				t.Fatalf("row %d: got %d, want %d", i, got[i].word, words[i])
			}
		}
	})
}

func TestPartsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", Measures: []string{"n"}, From: start, To: start.Add(time.Hour)}
	scan := resolve(t, q)
	for name, p := range map[string]*query.Part{
		"window":  {Windows: []int32{1}, Events: []uint64{1}, Measures: [][]query.Acc{{{N: 1}}}},
		"measure": {Windows: []int32{0}, Events: []uint64{1}, Measures: [][]query.Acc{{}}},
		"dims": {Windows: []int32{0}, Events: []uint64{1}, Measures: [][]query.Acc{{{N: 1}}},
			Dims: make([]query.Column, 1)},
	} {
		if _, err := Merge(scan, q, nil, p, query.Accuracy{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// BenchmarkMerge merges a day of 1,440 minutes and 70 groups with a live part of 1,000 rows.
func BenchmarkMerge(b *testing.B) {
	q := &query.Query{View: "flights", Measures: []string{"n", "late", "far"}, From: start, To: start.AddDate(0, 0, 1),
		Granularity: "1m", GroupBy: []string{"origin"}, Limit: query.MaxLimit}
	scan := resolve(b, q)
	batch := bigPart(100_000)
	live := bigPart(1000)
	for b.Loop() {
		if _, err := Merge(scan, q, batch, live, query.Accuracy{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMergeTop(b *testing.B) {
	q := &query.Query{View: "flights", Measures: []string{"n", "late", "far"}, From: start, To: start.AddDate(0, 0, 1),
		Granularity: "1m", GroupBy: []string{"origin"},
		OrderBy: []query.Order{{By: "late", Desc: true}}, Limit: 100}
	scan := resolve(b, q)
	batch := bigPart(100_000)
	live := bigPart(1000)
	for b.Loop() {
		if _, err := Merge(scan, q, batch, live, query.Accuracy{}); err != nil {
			b.Fatal(err)
		}
	}
}

func bigPart(n int) *query.Part {
	p := &query.Part{Dims: []query.Column{{Type: catalog.String}}, Measures: make([][]query.Acc, 3)}
	for i := range n {
		i = i * 7919 % 100_000 // The rows of a part are in no particular order.
		p.Windows = append(p.Windows, int32(i%1440))
		p.Events = append(p.Events, 3)
		p.Dims[0].Strings = append(p.Dims[0].Strings, fmt.Sprintf("airport-%d", i/1440))
		p.Measures[0] = append(p.Measures[0], query.Acc{N: 3})
		p.Measures[1] = append(p.Measures[1], query.Acc{N: 3, Lo: uint64(i)})
		p.Measures[2] = append(p.Measures[2], query.Acc{N: 3, Sum: &floatsum.Sum{Near: floatsum.Near{uint64(i)}}})
	}
	return p
}

// TestDistinctLiesWithinItsBounds uses sets with one element more than a sketch keeps exactly.
// Some are estimated at fewer elements than that limit. Their values must still be within the bounds.
func TestDistinctLiesWithinItsBounds(t *testing.T) {
	t.Parallel()
	below := 0
	for n := range uint64(100) {
		var s distinct.Sketch
		for i := range uint64(distinct.ExactLimit + 1) {
			s.Add(distinct.HashInt64(int64(n<<32 | i)))
		}
		if s.Estimate() <= distinct.ExactLimit {
			below++
		}
		if d := mergeDistinct(nil, &query.Acc{Sketch: &s}, new(scratch)); d.value < d.low || d.value > d.high {
			t.Errorf("set %d: %d is not within [%d, %d]", n, d.value, d.low, d.high)
		}
	}
	if below == 0 {
		t.Error("no estimate was too low, so nothing was tested")
	}
}
