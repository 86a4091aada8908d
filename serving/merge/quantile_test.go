package merge

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// drawDelays draws events of two origins in six hours, whose values are in many bins.
func drawDelays(t *rapid.T, label string) []oracle.Event {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) oracle.Event {
		e := oracle.Event{Time: start.Add(time.Duration(rapid.IntRange(-360, 359).Draw(t, "minute")) *
			time.Minute).UnixMicro(), Fields: map[string]any{}}
		e.Fields["origin"] = rapid.SampledFrom([]string{"ATL", "ORD"}).Draw(t, "origin")
		if rapid.IntRange(0, 4).Draw(t, "has values") > 0 {
			e.Fields["delay"] = rapid.Int64Range(-5000, 5000).Draw(t, "delay")
			e.Fields["miles"] = rapid.Float64Range(-1e6, 1e6).Draw(t, "miles")
		}
		return e
	}), 0, 80).Draw(t, label)
}

func drawQuantiles(t *rapid.T) *query.Query {
	q := &query.Query{View: "flights", From: start, To: start.Add(6 * time.Hour), Granularity: "1h"}
	q.Measures = rapid.SampledFrom([][]string{{"lateness"}, {"n", "length.p10", "lateness.p99.9", "length.p50"}}).
		Draw(t, "measures")
	if rapid.Bool().Draw(t, "grouped") {
		q.GroupBy = []string{"origin"}
		q.OrderBy = []query.Order{{By: "lateness.p75", Desc: true}}
	}
	return q
}

// TestQuantilesOverTime adds bins up over windows and compares with the sorted values of each window.
func TestQuantilesOverTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuantiles(t)
		switch rapid.IntRange(0, 3).Draw(t, "over time") {
		case 0:
			q.Cumulative = true
		case 1:
			q.Rolling = "3h"
		case 2:
			q.Compare = query.PreviousPeriod
			q.Cumulative = true
		default:
			q.Compare = query.PreviousPeriod
			q.Rolling = "2h"
		}
		checkMerge(t, q, drawDelays(t, "events"))
	})
}

// TestComparedQuantiles: a group has changed if one of its quantiles is in another bin.
func TestComparedQuantiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuantiles(t)
		q.OrderBy = nil
		scan := resolve(t, q)
		before := drawDelays(t, "before")
		after := slices.Concat(before, drawDelays(t, "late"))
		got, err := Compare(scan, scan, oracle.Part(scan, before, oracle.Batch),
			oracle.Part(scan, after, oracle.Batch), true, time.UTC, 1000)
		if err != nil {
			t.Fatal(err)
		}
		oldRows := oracle.Rows(scan, before)
		var want []*oracle.Row
		for _, r := range oracle.Rows(scan, after) {
			at := slices.IndexFunc(oldRows, r.Same)
			if at < 0 || slices.ContainsFunc(scan.Measures, func(m query.Measure) bool {
				return oldRows[at].Measure(m) != r.Measure(m)
			}) {
				want = append(want, r)
			}
		}
		sortNaively(scan, q, want)
		if len(got.Groups) != len(want) {
			t.Fatalf("%d groups have changed, want %d", len(got.Groups), len(want))
		}
		for i, r := range want {
			var old oracle.Row
			if at := slices.IndexFunc(oldRows, r.Same); at >= 0 {
				old = *oldRows[at]
			}
			checkComparedRow(t, scan, got, i, &old, r)
		}
	})
}

func checkComparedRow(t *rapid.T, scan *query.Scan, got *Comparison, i int, before, after *oracle.Row) {
	if got.Times[i] != scan.Windows.Start(after.Window) {
		t.Fatalf("row %d: time %d, want window %d", i, got.Times[i], after.Window)
	}
	for j, m := range scan.Measures {
		wasThere := len(before.Events) > 0 || m.Kind != catalog.Count
		if old := anyValue(&got.Old[j].Value, i); wasThere && old != before.Measure(m) || !wasThere && old != nil {
			t.Fatalf("row %d: the old %s is %v, want %v", i, m.Name, old, before.Measure(m))
		}
		if now := anyValue(&got.New[j].Value, i); now != after.Measure(m) {
			t.Fatalf("row %d: the new %s is %v, want %v", i, m.Name, now, after.Measure(m))
		}
	}
}
