package merge

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// salesCatalog declares a view with every measure of a decimal.
func salesCatalog() *catalog.Catalog {
	return &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"sale": {Name: "sale",
		Fields: []catalog.Field{{Name: "price", Type: "decimal(18,2)"}, {Name: "shop", Type: catalog.String}}}},
		Views: map[string]*catalog.View{"sales": {Name: "sales", Event: "sale", Dimensions: []string{"shop"},
			Cell: time.Minute, Measures: []catalog.Measure{{Name: "least", Kind: catalog.Min, Field: "price"},
				{Name: "mean", Kind: catalog.Avg, Field: "price"}, {Name: "most", Kind: catalog.Max, Field: "price"},
				{Name: "total", Kind: catalog.Sum, Field: "price"}}}}}
}

// wide is a sum of units with their number.
type wide struct {
	n     uint64
	units *big.Int
}

func (w wide) acc() query.Acc {
	low := new(big.Int).And(w.units, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return query.Acc{N: w.n, Hi: new(big.Int).Rsh(w.units, 64).Int64(), Lo: low}
}

// drawWide draws a sum, up to and beyond 38 digits.
func drawWide(t *rapid.T) wide {
	digits := rapid.IntRange(1, 38).Draw(t, "digits")
	largest := strings.Repeat("9", 38)
	text := rapid.OneOf(rapid.StringMatching(fmt.Sprintf(`-?[0-9]{1,%d}`, digits)),
		rapid.SampledFrom([]string{largest, "-" + largest, "1", "-1"})).Draw(t, "sum")
	units, _ := new(big.Int).SetString(text, 10)
	return wide{rapid.Uint64Range(0, 9).Draw(t, "n"), units}
}

// decimalText writes hundredths.
func decimalText(units *big.Int) string {
	return new(big.Rat).SetFrac(units, big.NewInt(100)).FloatString(2)
}

// TestDecimals merges sums of decimals and compares values, order, having and what is out of range with big integers.
func TestDecimals(t *testing.T) {
	t.Parallel()
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	rapid.Check(t, func(t *rapid.T) {
		desc := rapid.Bool().Draw(t, "desc")
		least := drawWide(t).units
		parts := [2]*query.Part{}
		truth := map[string]wide{}
		for side := range parts {
			p := &query.Part{Dims: []query.Column{{Type: catalog.String}}, Measures: make([][]query.Acc, 2)}
			for _, shop := range []string{"a", "b", "c", "d", "e"} {
				w := drawWide(t)
				if w.n == 0 {
					w.units = new(big.Int)
				}
				p.Windows = append(p.Windows, 0)
				p.Events = append(p.Events, 1)
				p.Dims[0].Strings = append(p.Dims[0].Strings, shop)
				p.Measures[0] = append(p.Measures[0], w.acc())
				p.Measures[1] = append(p.Measures[1], w.acc())
				sum := truth[shop]
				if sum.units == nil {
					sum.units = new(big.Int)
				}
				truth[shop] = wide{sum.n + w.n, new(big.Int).Add(sum.units, w.units)}
			}
			parts[side] = p
		}
		least = rapid.SampledFrom([]*big.Int{least, truth["a"].units, truth["b"].units}).Draw(t, "least")
		if least.CmpAbs(limit) >= 0 {
			least = new(big.Int)
		}
		q := &query.Query{View: "sales", Measures: []string{"total", "mean"}, From: start, To: start.Add(time.Hour),
			GroupBy: []string{"shop"}, OrderBy: []query.Order{{By: "total", Desc: desc}},
			Having: []query.Condition{{Or: []query.Condition{{Measure: "total", Op: query.Eq},
				{Measure: "total", Op: query.Ge, Value: decimalText(least)}}}}}
		scan, err := q.Resolve(salesCatalog(), "default")
		if err != nil {
			t.Fatal(err)
		}
		a, err := Merge(scan, q, parts[0], parts[1], query.Accuracy{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Measures[0].Type != "decimal(38,2)" || a.Measures[1].Type != catalog.Float64 {
			t.Fatalf("types %s and %s", a.Measures[0].Type, a.Measures[1].Type)
		}
		kept := 0
		for _, want := range truth {
			if want.n == 0 || want.units.CmpAbs(limit) >= 0 || want.units.Cmp(least) >= 0 {
				kept++
			}
		}
		if a.Rows() != kept {
			t.Fatalf("%d rows with a total of at least %v, or without one; want %d", a.Rows(), least, kept)
		}
		var before *big.Int
		for i := range a.Rows() {
			want := truth[a.Dims[0].Strings[i]]
			got := &a.Measures[0].Value
			fits := want.n > 0 && want.units.CmpAbs(limit) < 0
			if got.Null[i] == fits || isNamed(a.Accuracy.OutOfRange, "total", i) != (want.n > 0 && !fits) {
				t.Fatalf("%v: null %t, out of range %+v", want.units, got.Null[i], a.Accuracy.OutOfRange)
			}
			if !fits {
				continue
			}
			sum := new(big.Int).Lsh(big.NewInt(got.Highs[i]), 64)
			if sum.Add(sum, new(big.Int).SetUint64(uint64(got.Ints[i]))); sum.Cmp(want.units) != 0 {
				t.Fatalf("got %v, want %v", sum, want.units)
			}
			if before != nil && (before.Cmp(sum) > 0) != desc && before.Cmp(sum) != 0 {
				t.Fatalf("%v comes before %v, descending %t", before, sum, desc)
			}
			before = sum
			mean, _ := new(big.Rat).SetFrac(want.units, new(big.Int).SetUint64(100*want.n)).Float64()
			if v := a.Measures[1].Value.Floats[i]; v != mean {
				t.Fatalf("mean of %v over %d: got %v, want %v", want.units, want.n, v, mean)
			}
		}
	})
}

// TestExtremesOfDecimals: a minimum and a maximum have the type of the field.
func TestExtremesOfDecimals(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "sales", Measures: []string{"least", "most"}, From: start, To: start.Add(time.Hour)}
	scan, err := q.Resolve(salesCatalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	part := func(least, most int64) *query.Part {
		return &query.Part{Windows: []int32{0}, Events: []uint64{2},
			Measures: [][]query.Acc{{{N: 2, Lo: uint64(least)}}, {{N: 2, Lo: uint64(most)}}}}
	}
	a, err := Merge(scan, q, part(-5, 100), part(-250, 99), query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{a.Measures[0].Value.Ints[0], a.Measures[1].Value.Ints[0], a.Measures[0].Type, a.Measures[1].Type}
	want := []any{int64(-250), int64(100), catalog.FieldType("decimal(18,2)"), catalog.FieldType("decimal(18,2)")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
