package merge

import (
	"math"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// value is one finished value. A value that does not fit its type is null: it is never wrapped around.
type value struct {
	i      int64
	high   int64 // of a sum of decimals, of which i is the low half of 128 bits
	f      float64
	null   bool
	beyond bool // the value does not fit its type
}

// join adds two accumulators of a measure that is not distinct. If one is nil or empty, the
// other is returned without a copy.
func join(m *query.Measure, a, b *query.Acc) *query.Acc {
	switch {
	case b == nil || a != nil && b.N == 0:
		return a
	case a == nil || a.N == 0:
		return b
	}
	out := query.Acc{N: a.N + b.N}
	switch m.Kind {
	case catalog.Sum, catalog.Avg:
		out.Hi = a.Hi
		out.Lo = a.Lo
		out.AddWide(b.Hi, b.Lo)
		if m.SumsFloats() {
			out.Sum = &floatsum.Sum{}
			out.Sum.Merge(a.Sum)
			out.Sum.Merge(b.Sum)
		}
	case catalog.Min:
		out.Lo = uint64(min(int64(a.Lo), int64(b.Lo)))
		out.Float = min(a.Float, b.Float)
	case catalog.Max:
		out.Lo = uint64(max(int64(a.Lo), int64(b.Lo)))
		out.Float = max(a.Float, b.Float)
	case catalog.Quantile:
		out.Bins = &quantile.Sketch{}
		out.Bins.Merge(a.Bins)
		out.Bins.Merge(b.Bins)
	}
	return &out
}

// finish turns an accumulator of a measure that is not distinct into its value. A nil
// accumulator means a group without events.
func finish(m *query.Measure, a *query.Acc) value {
	float := m.Type == catalog.Float64
	d, isDecimal := m.Type.Decimal()
	switch {
	case a == nil:
		return value{null: m.Kind != catalog.Count}
	case m.Kind == catalog.Count:
		return intValue(int64(a.N), a.N <= math.MaxInt64)
	case a.N == 0:
		return value{null: true}
	case m.Kind == catalog.Quantile:
		v, _ := quantileOf(m, a)
		return v
	case m.Kind == catalog.Avg && float:
		return floatValue(a.Sum.Mean(a.N))
	case m.Kind == catalog.Avg && isDecimal:
		return value{f: decimal.Mean(a.Hi, a.Lo, d.Scale, a.N)}
	case m.Kind == catalog.Avg:
		return floatValue(floatsum.Quotient([]uint64{a.Lo, uint64(a.Hi)}, 0, a.N))
	case m.Kind == catalog.Sum && float:
		return floatValue(a.Sum.Float64())
	case m.Kind == catalog.Sum && isDecimal:
		return wideValue(a.Hi, a.Lo)
	case m.Kind == catalog.Sum:
		return intValue(a.Int64())
	case float:
		return value{f: a.Float + 0} // -0 is 0, whichever came first.
	}
	return value{i: int64(a.Lo)}
}

func intValue(i int64, fits bool) value {
	if !fits {
		i = 0
	}
	return value{i: i, null: !fits, beyond: !fits}
}

// wide returns a sum of decimals.
func (v *value) wide() query.Wide { return query.Wide{High: v.high, Low: uint64(v.i)} }

func wideValue(high int64, low uint64) value {
	if !decimal.SumFits(high, low) {
		return value{null: true, beyond: true}
	}
	return value{i: int64(low), high: high}
}

func floatValue(f float64, fits bool) value {
	if !fits {
		f = 0
	}
	return value{f: f, null: !fits, beyond: !fits}
}

// column is a measure with its accumulators in both parts, or a derived number.
type column struct {
	query.Measure
	batch, live []query.Acc
	// scratch is nil but for a distinct measure.
	scratch *scratch
	// derived is nil for a measure.
	derived *derivation
}

// accumulators returns those of row i. One of them may be nil.
func (c *column) accumulators(g *groups, i int) (batch, live *query.Acc) {
	if b := g.batch[i]; b != none {
		batch = &c.batch[b]
	}
	if l := g.live[i]; l != none {
		live = &c.live[l]
	}
	return batch, live
}

// isEstimated reports whether values may have sketch error.
func (c *column) isEstimated() bool {
	return c.Kind == catalog.Distinct || c.Kind == catalog.Quantile || c.derived != nil && c.derived.isEstimated()
}

// mergedValue returns the value of row i. It returns the bounds of the value too, if that is estimated.
func (c *column) mergedValue(g *groups, i int) (value, limits) {
	if c.derived != nil {
		return c.derived.mergedValue(g, i)
	}
	b, l := c.accumulators(g, i)
	if c.Kind == catalog.Distinct {
		d := mergeDistinct(b, l, c.scratch)
		return value{i: d.value}, limits{value{i: d.low}, value{i: d.high}}
	}
	if c.Kind == catalog.Quantile {
		return quantileOf(&c.Measure, join(&c.Measure, b, l))
	}
	return finish(&c.Measure, join(&c.Measure, b, l)), limits{}
}
