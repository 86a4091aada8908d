package merge

import (
	"slices"

	"pgregory.net/rapid"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// checkOthers makes the others of an answer from parts, and compares them with a naive grouping, by window, of all that
// the rows do not show.
func checkOthers(t *rapid.T, q *query.Query, scan *query.Scan, a *Answer, shown []*oracle.Row, events []oracle.Event,
	cut int) {
	asked, others := q.OtherGroups(scan)
	if others.Overlap.Width > 0 && others.HasDistinct() {
		return // It is refused.
	}
	rest := func(of, by *query.Scan, groups *query.Part) (batch, live *query.Part) {
		live = Rest(of, unitedPart(t, by, events[cut:], oracle.Speed), groups)
		if of.HasDistinct() { // As the reader asks for it.
			return oracle.Part(of, oracle.Without(of, events[:cut], by.GroupBy, groups), oracle.Batch), live
		}
		return Rest(of, unitedPart(t, by, events[:cut], oracle.Batch), groups), live
	}
	groups := a.Groups(scan)
	batch, live := rest(others, scan, groups)
	var before *Earlier
	if scan.Comparison != nil {
		before = &Earlier{Scan: others.Earlier()}
		before.Batch, before.Live = rest(before.Scan, scan.Earlier(), groups.Earlier(scan.Comparison))
		var err error
		if batch, live, err = before.WithGroups(others, batch, live); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Merge(others, asked, batch, live, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		got.SetPrevious(others, asked, before)
	}
	want := restNaively(oracle.Rows(scan, events), shown)
	previous := []*oracle.Row{}
	if scan.Comparison != nil {
		previous = restNaively(oracle.Rows(scan.Earlier(), events), earlierRows(scan, shown))
		for _, r := range previous {
			w := slices.Index(scan.Comparison.Places, int32(r.Window))
			if w >= 0 && rowOf(want, w) == nil {
				want = append(want, &oracle.Row{Window: w})
			}
		}
	}
	if q.Fill || !q.IsWindowed() {
		want = fillNaively(others, want)
	}
	sortNaively(others, asked, want)
	if got.Rows() != len(want) {
		t.Fatalf("others have %d rows, want %d", got.Rows(), len(want))
	}
	ofLive := restNaively(oracle.Rows(scan, events[cut:]), shown)
	for i, r := range want {
		checkRow(t, others, got, i, r, ofLive)
		if scan.Comparison != nil {
			checkPreviousRow(t, others, got, i, r, rowOf(previous, int(scan.Comparison.Places[r.Window])))
		}
	}
}

// restNaively returns a row for each window, with the events of all rows that are not shown.
func restNaively(all, shown []*oracle.Row) []*oracle.Row {
	var out []*oracle.Row
	for _, r := range all {
		if slices.ContainsFunc(shown, r.Same) {
			continue
		}
		if rowOf(out, r.Window) == nil {
			out = append(out, &oracle.Row{Window: r.Window})
		}
		one := rowOf(out, r.Window)
		one.Events = append(one.Events, r.Events...)
	}
	return out
}

func rowOf(rows []*oracle.Row, w int) *oracle.Row {
	for _, r := range rows {
		if r.Window == w {
			return r
		}
	}
	return nil
}

// earlierRows returns the rows of the earlier range that are compared with rows.
func earlierRows(scan *query.Scan, rows []*oracle.Row) []*oracle.Row {
	var out []*oracle.Row
	for _, r := range rows {
		out = append(out, &oracle.Row{Window: int(scan.Comparison.Places[r.Window]), Keys: r.Keys})
	}
	return out
}
