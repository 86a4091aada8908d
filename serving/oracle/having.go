package oracle

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Has reports whether all conditions on measures, which a scan has resolved, hold for the row.
func (r *Row) Has(scan *query.Scan, having []query.Condition) bool {
	return !slices.ContainsFunc(having, func(c query.Condition) bool { return !r.has(scan, c) })
}

func (r *Row) has(scan *query.Scan, c query.Condition) bool {
	switch {
	case c.Not != nil:
		return !r.has(scan, *c.Not)
	case c.And != nil:
		return r.Has(scan, c.And)
	case c.Or != nil:
		return slices.ContainsFunc(c.Or, func(part query.Condition) bool { return r.has(scan, part) })
	}
	v := r.Value(scan, c.Measure)
	switch c.Op {
	case query.Eq:
		return v == c.Values[0]
	case query.Ne:
		return v != c.Values[0]
	}
	if v == nil {
		return false
	}
	order := Compare(v, c.Values[0], false)
	switch c.Op {
	case query.Lt:
		return order < 0
	case query.Le:
		return order <= 0
	case query.Gt:
		return order > 0
	case query.Ge:
		return order >= 0
	}
	return order >= 0 && Compare(v, c.Values[1], false) <= 0
}

// DrawHaving draws up to most conditions, some of which are trees, on the measures of the catalog's view and on derived
// numbers.
func DrawHaving(t *rapid.T, most int, derived []query.Derived) []query.Condition {
	one := rapid.Custom(func(t *rapid.T) query.Condition { return drawHaving(t, 2, derived) })
	return rapid.SliceOfN(one, 0, most).Draw(t, "having")
}

func drawHaving(t *rapid.T, depth int, derived []query.Derived) query.Condition {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 || kind > 2 {
		return drawMeasure(t, derived)
	}
	part := rapid.Custom(func(t *rapid.T) query.Condition { return drawHaving(t, depth-1, derived) })
	inner := rapid.SliceOfN(part, 1, 3).Draw(t, "inner")
	return []query.Condition{{Not: &inner[0]}, {And: inner}, {Or: inner}}[kind]
}

// drawMeasure draws a comparison with a value of the measure's type. Many values are those of small groups.
func drawMeasure(t *rapid.T, derived []query.Derived) query.Condition {
	c := Catalog()
	view := c.Views["flights"]
	m := query.Measure{Measure: rapid.SampledFrom(view.Measures).Draw(t, "measure")}
	m.Type = c.MeasureType(view, m.Measure)
	if m.Kind == catalog.Quantile {
		m.Name += ".p95"
	}
	if len(derived) > 0 && rapid.Bool().Draw(t, "is derived") {
		m = measureOf(rapid.SampledFrom(derived).Draw(t, "number"))
	}
	value := rapid.Custom(func(t *rapid.T) any {
		switch {
		case m.Kind == catalog.Count || m.Kind == catalog.Distinct:
			return int64(rapid.IntRange(0, 3).Draw(t, "count"))
		case m.ResultType() == catalog.Float64:
			return rapid.SampledFrom(append([]float64{-3, 2.5, 5, 1 << 40}, Miles...)).Draw(t, "float")
		case m.ResultType() == catalog.Timestamp:
			micros := int64(rapid.IntRange(0, 1000).Draw(t, "at"))
			return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z") // Texts have the order of times.
		}
		return rapid.SampledFrom(append([]int64{2, 3, 10}, Ints...)).Draw(t, "int")
	})
	ops := []query.Op{query.Eq, query.Ne, query.Lt, query.Le, query.Gt, query.Ge, query.Between}
	out := query.Condition{Measure: m.Name, Op: rapid.SampledFrom(ops).Draw(t, "op")}
	switch out.Op {
	case query.Between:
		out.Values = rapid.SliceOfN(value, 2, 2).Draw(t, "ends")
		slices.SortFunc(out.Values, func(a, b any) int { return Compare(a, b, false) })
	case query.Eq, query.Ne:
		out.Value = rapid.OneOf(value, value, rapid.Just[any](nil)).Draw(t, "value")
	default:
		out.Value = value.Draw(t, "value")
	}
	return out
}
