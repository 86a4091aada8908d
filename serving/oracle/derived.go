package oracle

import (
	"math"
	"math/big"
	"slices"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// derivedNumber is a derived number, and what it means, given measures of a row and the length of the row's window.
type derivedNumber struct {
	name       string
	expression string
	isFloat    bool
	value      func(measure func(string) any, seconds float64) any
}

// derivedNumbers make numbers of the measures of the catalog's view, with nulls, overflows and divisors that may be
// zero or estimated.
var derivedNumbers = []derivedNumber{
	{"ratio", "late / n", true, func(m func(string) any, _ float64) any { return quotient(m("late"), m("n")) }},
	{"per_tail", "n / tails", true, func(m func(string) any, _ float64) any { return quotient(m("n"), m("tails")) }},
	{"rate", "n / window_seconds", true, func(m func(string) any, seconds float64) any {
		return quotient(m("n"), seconds)
	}},
	{"gap", "worst - late", false, func(m func(string) any, _ float64) any {
		worst, hasWorst := m("worst").(int64)
		late, hasLate := m("late").(int64)
		if !hasWorst || !hasLate {
			return nil
		}
		return whole(new(big.Int).Sub(big.NewInt(worst), big.NewInt(late)))
	}},
	{"product", "coalesce(late, -1) * (tails - 2)", false, func(m func(string) any, _ float64) any {
		late, hasLate := m("late").(int64)
		if !hasLate {
			late = -1
		}
		return whole(new(big.Int).Mul(big.NewInt(late), big.NewInt(m("tails").(int64)-2)))
	}},
	{"branch", "if(tails > 2, usual, n + 0.5)", true, func(m func(string) any, _ float64) any {
		if m("tails").(int64) > 2 {
			return m("usual")
		}
		return float64(m("n").(int64)) + 0.5
	}},
	{"order", "if(first < coalesce(first, first), 1, n % 3)", false, func(m func(string) any, _ float64) any {
		return m("n").(int64) % 3
	}},
}

// quotient divides two numbers. It returns nil where one is missing, and where the result is no number.
func quotient(a, b any) any {
	numbers := []float64{0, 0}
	for i, v := range []any{a, b} {
		switch v := v.(type) {
		case nil:
			return nil
		case int64:
			numbers[i] = float64(v)
		case float64:
			numbers[i] = v
		}
	}
	if out := numbers[0] / numbers[1]; !math.IsNaN(out) && !math.IsInf(out, 0) {
		return out + 0
	}
	return nil
}

func whole(n *big.Int) any {
	if !n.IsInt64() {
		return nil
	}
	return n.Int64()
}

// Value computes a measure of the scan, or a derived number of AllDerived, by its name.
func (r *Row) Value(scan *query.Scan, name string) any {
	at := slices.IndexFunc(scan.Measures, func(m query.Measure) bool { return m.Name == name })
	if at >= 0 {
		return r.Measure(scan.Measures[at])
	}
	if r.ReadsOutOfRange(scan, name) {
		return nil
	}
	d := derivedNumbers[slices.IndexFunc(derivedNumbers, func(d derivedNumber) bool { return d.name == name })]
	from, to := scan.Windows.Span(r.Window)
	if n := scan.Overlap.Width; n > 0 {
		from, _ = scan.Windows.Span(max(r.Window-n+1, 0))
	}
	return d.value(func(measure string) any { return r.Value(scan, measure) }, float64(to-from)/1e6)
}

// ReadsOutOfRange reports whether a measure in the expression of a derived number of the scan does not fit its type.
func (r *Row) ReadsOutOfRange(scan *query.Scan, name string) bool {
	d := scan.Derived[slices.IndexFunc(scan.Derived, func(d query.DerivedNumber) bool { return d.Name == name })]
	return slices.ContainsFunc(d.Measures, func(at int) bool { return at >= 0 && r.OutOfRange(scan.Measures[at]) })
}

// DrawDerived draws up to most derived numbers of the catalog's view.
func DrawDerived(t *rapid.T, most int) []query.Derived {
	var out []query.Derived
	drawn := rapid.SliceOfNDistinct(rapid.IntRange(0, len(derivedNumbers)-1), 0, most, rapid.ID[int])
	for _, i := range drawn.Draw(t, "derived") {
		out = append(out, query.Derived{Name: derivedNumbers[i].name, Expression: derivedNumbers[i].expression})
	}
	return out
}

// AllDerived returns every derived number that DrawDerived may draw.
func AllDerived() []query.Derived {
	var out []query.Derived
	for _, d := range derivedNumbers {
		out = append(out, query.Derived{Name: d.name, Expression: d.expression})
	}
	return out
}

// measureOf returns a derived number as a measure of its type.
func measureOf(d query.Derived) query.Measure {
	known := derivedNumbers[slices.IndexFunc(derivedNumbers, func(k derivedNumber) bool { return k.name == d.Name })]
	m := query.Measure{Measure: catalog.Measure{Name: d.Name}, Type: catalog.Int64}
	if known.isFloat {
		m.Type = catalog.Float64
	}
	return m
}
