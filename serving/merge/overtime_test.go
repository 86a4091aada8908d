package merge

import (
	"slices"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// multiples are granularities with times that have several of them.
var multiples = map[string][]string{"15m": {"15m", "45m", "1d"}, "1h": {"1h", "3h", "2d"}, "1d": {"2d", "1w"},
	"1w": {"2w"}, "1mo": {"2mo", "1q", "1y"}, "1q": {"1y"}, "10d": {"30d"}, "2h": {"6h"}, "1m": {"5m"}}

// drawOverTime adds to a query how its windows relate to each other.
func drawOverTime(t *rapid.T, q *query.Query) {
	windowed := q.Granularity != "" && q.Granularity != "all"
	switch kind := rapid.SampledFrom([]string{"", "compare", "cumulative", "rolling"}).Draw(t, "over time"); {
	case kind == "compare":
		q.Compare = rapid.SampledFrom([]query.Compare{query.PreviousPeriod, query.PreviousYear}).Draw(t, "compare")
		q.Cumulative = windowed && rapid.IntRange(0, 3).Draw(t, "and cumulative") == 0
	case kind == "cumulative":
		q.Cumulative = windowed
	case kind == "rolling" && multiples[q.Granularity] != nil:
		q.Rolling = rapid.SampledFrom(multiples[q.Granularity]).Draw(t, "rolling")
		if rapid.IntRange(0, 2).Draw(t, "and compare") == 0 {
			q.Compare = query.PreviousPeriod
		}
	}
}

// unitedPart is what a reader makes of a layer's answers.
func unitedPart(t *rapid.T, scan *query.Scan, events []oracle.Event, l oracle.Layer) *query.Part {
	if scan.Overlap.Width == 0 {
		return oracle.Part(scan, events, l)
	}
	grow := func(int64) error { return nil }
	apart := *scan
	apart.Overlap = query.Overlap{}
	apart.Comparison = nil
	if l == oracle.Speed {
		p, err := Overlap(scan, oracle.Part(&apart, events, l), grow)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	of := scan.Apart()
	read := oracle.Part(of, events, l)
	of.Overlap = scan.Overlap
	p, err := Overlap(of, read, grow)
	if err == nil && scan.HasDistinct() {
		p, err = WithSets(scan, p, oracle.Part(scan.Sets(), events, l))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mergeOverTime merges as a reader does. It returns how many live rows the earlier range has, too.
func mergeOverTime(t *rapid.T, scan *query.Scan, q *query.Query, batch, live *query.Part, events []oracle.Event,
	cut int) (*Answer, int) {
	if scan.Comparison == nil {
		a, err := Merge(scan, q, batch, live, query.Accuracy{})
		if err != nil {
			t.Fatal(err)
		}
		return a, 0
	}
	of := scan.Earlier()
	earlier := &Earlier{Scan: of, Batch: unitedPart(t, of, events[:cut], oracle.Batch),
		Live: unitedPart(t, of, events[cut:], oracle.Speed)}
	batch, live, err := earlier.WithGroups(scan, batch, live)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Merge(scan, q, batch, live, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	a.SetPrevious(scan, q, earlier)
	return a, earlier.Live.Rows()
}

func overflowOverTime(scan *query.Scan, events []oracle.Event, cut int) query.Overflow {
	out := oracle.Overflow(scan, events)
	out.Live = oracle.Overflow(scan, events[cut:]).Events
	if scan.Comparison != nil {
		earlier := overflowOverTime(scan.Earlier(), events, cut)
		out.Add(earlier)
		out.Live += earlier.Live
	}
	return out
}

// withEarlierGroups adds rows for groups that only the earlier range has.
func withEarlierGroups(scan *query.Scan, rows []*oracle.Row, events []oracle.Event) []*oracle.Row {
	if scan.Comparison == nil {
		return rows
	}
	for _, e := range oracle.Rows(scan.Earlier(), events) {
		w := slices.Index(scan.Comparison.Places, int32(e.Window))
		row := &oracle.Row{Window: w, Keys: e.Keys}
		if w >= 0 && !slices.ContainsFunc(rows, row.Same) {
			rows = append(rows, row)
		}
	}
	return rows
}

// checkPrevious compares the earlier values of a row with those of a naive grouping.
func checkPrevious(t *rapid.T, scan *query.Scan, a *Answer, i int, r *oracle.Row, events []oracle.Event) {
	if scan.Comparison == nil {
		return
	}
	want := &oracle.Row{Window: int(scan.Comparison.Places[r.Window]), Keys: r.Keys}
	rows := oracle.Rows(scan.Earlier(), events)
	var earlier *oracle.Row
	if at := slices.IndexFunc(rows, want.Same); at >= 0 {
		earlier = rows[at]
	}
	checkPreviousRow(t, scan, a, i, r, earlier)
}

// checkPreviousRow compares the earlier values of a row with those of a naive one, which is nil if there are none.
func checkPreviousRow(t *rapid.T, scan *query.Scan, a *Answer, i int, r, want *oracle.Row) {
	earlier := scan.Earlier()
	if missing := want == nil; a.Previous.Missing[i] != missing {
		t.Fatalf("row %d: earlier values are missing: %t, want %t", i, a.Previous.Missing[i], missing)
	}
	for j := range a.Measures {
		m := &a.Previous.Measures[j]
		var truth any
		if want != nil {
			truth = want.Value(earlier, m.Name)
		}
		if got := anyValue(&m.Value, i); got != truth {
			t.Fatalf("row %d: earlier %s is %v, want %v", i, m.Name, got, truth)
		}
		if want != nil && m.Bounded(i) && !isWithin(m, i, truth) {
			t.Fatalf("row %d: earlier %s is %v, out of its bounds", i, m.Name, truth)
		}
		if want != nil && m.Kind == catalog.Quantile {
			checkQuantile(t, want, scan.Measures[j], m, i)
		}
	}
	place := int(scan.Comparison.Places[r.Window])
	if a.Windowed && want != nil && a.Previous.Times[i] != earlier.Windows.Start(place) {
		t.Fatalf("row %d: the earlier window starts at %d", i, a.Previous.Times[i])
	}
}
