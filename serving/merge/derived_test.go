package merge

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/query"
)

// TestDerivedNumbersHaveBounds: a number made of an estimated count has bounds, and so has the total. Where the divisor
// may be zero, it may be any number.
func TestDerivedNumbersHaveBounds(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Derived: []query.Derived{
		{Name: "flights_per_tail", Expression: "n / tails"}, {Name: "odd", Expression: "n / (tails - 7500)"},
		{Name: "rest", Expression: "n - tails"}, {Name: "odd_rest", Expression: "div(n, tails - 7500)"},
		{Name: "rate", Expression: "n / window_seconds"},
		{Name: "beyond", Expression: "9223372036854775807 * tails"}}}
	scan := resolve(t, q)
	var hashes []uint64
	live := &distinct.Sketch{}
	for i := range 7500 {
		h := distinct.HashString(fmt.Sprint("N", i))
		if i < 5000 {
			hashes = append(hashes, h)
		}
		if i >= 2500 {
			live.Add(h)
		}
	}
	part := func(n uint64, tails query.Acc) *query.Part {
		p := &query.Part{Windows: []int32{0}, Events: []uint64{n}, Measures: make([][]query.Acc, len(scan.Measures))}
		for j, m := range scan.Measures {
			p.Measures[j] = []query.Acc{{N: n}}
			if m.Kind == catalog.Distinct {
				p.Measures[j] = []query.Acc{tails}
			}
		}
		return p
	}
	batch := part(9000, query.Acc{Exact: 5000, Set: distinct.SetOf(hashes)})
	a, err := Merge(scan, q, batch, part(6000, query.Acc{Sketch: live}), query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	for j, truth := range []any{2.0, nil, int64(7500), nil} {
		m := &a.Measures[j]
		if !m.Estimated || !m.Bounded(0) || !m.IsDerived() || !isWithin(m, 0, truth) {
			t.Errorf("%s: %v in [%+v, %+v]", m.Name, truth, m.Low, m.High)
		}
	}
	if ratio := &a.Measures[0]; ratio.Low.Floats[0] < 1.8 || ratio.High.Floats[0] > 2.2 {
		t.Errorf("the bounds are wide: %+v", ratio)
	}
	if rate := &a.Measures[4]; rate.Estimated || rate.Bounded(0) || rate.Value.Floats[0] != 15000.0/3600 {
		t.Errorf("the rate is %+v", rate)
	}
	if beyond := &a.Measures[5]; !beyond.Value.Null[0] || beyond.Bounded(0) {
		t.Errorf("a number that overflows has the bounds %+v to %+v", beyond.Low, beyond.High)
	}
	if a, err = Merge(scan, q, batch, nil, query.Accuracy{}); err != nil || a.Measures[0].Bounded(0) ||
		a.Measures[0].Value.Floats[0] != 1.8 {
		t.Errorf("without a live part: %+v, %v", a.Measures[0], err)
	}
}

// TestDerivedFromDecimals: a decimal becomes the nearest float64. A number is out of range where a measure of it is.
func TestDerivedFromDecimals(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "sales", Measures: []string{"total"}, From: start, To: start.Add(time.Hour),
		GroupBy: []string{"shop"}, Derived: []query.Derived{{Name: "half", Expression: "total / 2"},
			{Name: "spread", Expression: "most - least"}, {Name: "known", Expression: "coalesce(total, 7)"},
			{Name: "unread", Expression: "if(most > least, 1, total)"}}}
	scan, err := q.Resolve(salesCatalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	most := query.Acc{N: 1, Lo: 12_345_678_901_234_567}
	least := query.Acc{N: 1, Lo: 30}
	limit := wide{1, new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)}
	p := &query.Part{Windows: []int32{0, 0, 0}, Events: []uint64{1, 1, 1},
		Dims: []query.Column{{Type: catalog.String, Strings: []string{"a", "b", "c"}}}, Measures: [][]query.Acc{
			{wide{1, big.NewInt(-31)}.acc(), limit.acc(), wide{1, new(big.Int).Quo(limit.units, big.NewInt(3))}.acc()},
			{most, most, most}, {least, least, least}}}
	a, err := Merge(scan, q, p, nil, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for _, m := range a.Measures[1:] {
		for row := range a.Rows() {
			got = append(got, anyValue(&m.Value, row))
		}
	}
	spread := 123_456_789_012_345.67 - 0.3
	want := []any{-0.155, nil, 1e36 / 6, spread, spread, spread, -0.31, nil, 1e36 / 3, 1.0, nil, 1.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]bool{"half": true, "spread": false, "known": true, "unread": true} {
		if isNamed(a.Accuracy.OutOfRange, name, 1) != want {
			t.Errorf("%s named: %+v", name, a.Accuracy.OutOfRange)
		}
	}
}

// TestDerivedOfOverflowHasNoNumber: a number of a sum that does not fit its type is missing for having, for order_by
// and in the totals, whatever its expression makes of a missing sum.
func TestDerivedOfOverflowHasNoNumber(t *testing.T) {
	t.Parallel()
	limit := wide{1, new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)}
	ask := func(having ...query.Condition) (*query.Query, *query.Scan, *query.Part) {
		q := &query.Query{View: "sales", From: start, To: start.Add(time.Hour), GroupBy: []string{"shop"},
			Derived: []query.Derived{{Name: "known", Expression: "coalesce(total, 7)"}}, Having: having,
			OrderBy: []query.Order{{By: "known"}}}
		scan, err := q.Resolve(salesCatalog(), "default")
		if err != nil {
			t.Fatal(err)
		}
		p := &query.Part{Windows: []int32{0, 0, 0}, Events: []uint64{1, 1, 1},
			Dims: []query.Column{{Type: catalog.String, Strings: []string{"a", "b", "c"}}}, Measures: [][]query.Acc{
				{wide{1, big.NewInt(900)}.acc(), limit.acc(), wide{1, big.NewInt(800)}.acc()}}}
		return q, scan, p
	}
	q, scan, p := ask()
	a, err := Merge(scan, q, p, nil, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c", "a", "b"}, a.Dims[0].Strings); diff != "" {
		t.Errorf("in order: %s", diff)
	}
	all, totals, err := q.AllGroups(scan)
	if err != nil {
		t.Fatal(err)
	}
	total, err := Merge(totals, all, Total(totals, p), nil, query.Accuracy{})
	if err != nil || !total.Measures[0].Value.Null[0] || !isNamed(total.Accuracy.OutOfRange, "known", 0) {
		t.Errorf("the total is %+v, %+v, %v", total.Measures[0], total.Accuracy.OutOfRange, err)
	}
	for op, shops := range map[query.Op][]string{query.Eq: {"b"}, query.Ne: {"a", "c"}, query.Lt: {"c"}} {
		with := any(nil)
		if op == query.Lt {
			with = 8.5
		}
		q, scan, p := ask(query.Condition{Measure: "known", Op: op, Value: with})
		q.OrderBy = nil
		a, err := Merge(scan, q, p, nil, query.Accuracy{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(shops, a.Dims[0].Strings); diff != "" {
			t.Errorf("known %s %v: %s", op, with, diff)
		}
	}
}
