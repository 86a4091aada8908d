package merge

import (
	"math"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/expression"
	"recount/schemas/query"
)

// derivation makes a derived number of the measures of a row.
type derivation struct {
	numbers *expression.Numbers
	inputs  []input
	scan    *query.Scan
	isFloat bool
}

// input is a column of an expression.
type input struct {
	*column // nil for the length of the row's window
	// isDecimal says that values are units of a decimal with so many digits after the point.
	isDecimal bool
	scale     int
}

func newDerived(scan *query.Scan, d *query.DerivedNumber, measures []column) column {
	out := &derivation{numbers: d.Expression.Numbers(), inputs: make([]input, len(d.Measures)), scan: scan,
		isFloat: d.Type() == catalog.Float64}
	for i, at := range d.Measures {
		if at >= 0 {
			t, isDecimal := decimal.ParseType(string(measures[at].ResultType())) // It may be that of a sum.
			out.inputs[i] = input{&measures[at], isDecimal, t.Scale}
		}
	}
	return column{Measure: query.Measure{Measure: catalog.Measure{Name: d.Name}, Type: d.Type()}, derived: out}
}

// isEstimated reports whether the number is made of an estimated measure.
func (d *derivation) isEstimated() bool {
	return slices.ContainsFunc(d.inputs, func(c input) bool { return c.column != nil && c.isEstimated() })
}

// mergedValue returns the number of row i, and its bounds. A null has none. The number is beyond its type where a
// measure of it is, also if the expression does not use the measure in this row: the expression would take the measure
// for one without a value, and coalesce would make a wrong number of it.
func (d *derivation) mergedValue(g *groups, i int) (value, limits) {
	isExact := true
	for at, c := range d.inputs {
		if c.column == nil {
			from, to := d.scan.Span(int(g.window[i]))
			d.numbers.Set(at, expression.Number{Float: float64(to-from) / float64(time.Second/time.Microsecond)})
			continue
		}
		v, l := c.mergedValue(g, i)
		if v.beyond {
			unknown := value{null: true, beyond: true}
			return unknown, limits{unknown, unknown}
		}
		if l.low == l.high {
			d.numbers.Set(at, c.number(v))
			continue
		}
		isExact = false
		d.numbers.SetRange(at, c.number(v), c.number(l.low), c.number(l.high))
	}
	v := valueOf(d.numbers.Value())
	if isExact || v.null {
		return v, limits{v, v} // Bounds around a null would be those of no number.
	}
	low, high, known := d.numbers.Range()
	if !known {
		return v, d.anyNumber()
	}
	return v, limits{valueOf(low), valueOf(high)}
}

func valueOf(n expression.Number) value { return value{i: n.Whole, f: n.Float, null: n.IsNull} }

// anyNumber returns the bounds of a number that may be any of its type.
func (d *derivation) anyNumber() limits {
	if d.isFloat {
		return limits{value{f: -math.MaxFloat64}, value{f: math.MaxFloat64}}
	}
	return limits{value{i: math.MinInt64}, value{i: math.MaxInt64}}
}

// number returns a value of the column as a number of an expression.
func (c *input) number(v value) expression.Number {
	switch {
	case !c.isDecimal || v.null:
		return expression.Number{IsNull: v.null, Whole: v.i, Float: v.f}
	case c.Kind == catalog.Sum:
		return expression.Number{Float: decimal.Nearest(v.high, uint64(v.i), c.scale)}
	}
	return expression.Number{Float: decimal.Nearest(v.i>>63, uint64(v.i), c.scale)}
}
