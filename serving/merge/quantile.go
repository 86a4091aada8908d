package merge

import (
	"recount/schemas/catalog"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// quantileOf returns a quantile of the values in an accumulator, which may be nil, and the ends of the bin that it is
// in. Bins add up exactly, so a merged quantile is as exact as one of a single layer.
func quantileOf(m *query.Measure, a *query.Acc) (value, limits) {
	if a == nil || a.N == 0 {
		return value{null: true}, limits{}
	}
	key := a.Bins.Key(m.Rank)
	if m.Type == catalog.Float64 {
		b := quantile.FloatBinOf(key)
		return value{f: b.Value}, limits{value{f: b.Low}, value{f: b.High}}
	}
	b := quantile.IntBinOf(key)
	return value{i: b.Value}, limits{value{i: b.Low}, value{i: b.High}}
}
