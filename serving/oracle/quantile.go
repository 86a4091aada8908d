package oracle

import (
	"slices"

	"recount/schemas/quantile"
	"recount/schemas/query"
)

// Quantile returns a quantile of the row, and the ends of the bin in which the true one is. It sorts all values. All
// three are nil without values.
func (r *Row) Quantile(m query.Measure) (value, low, high any) {
	truth := r.trueQuantile(m)
	switch v := truth.(type) {
	case int64:
		b := quantile.IntBinOf(quantile.KeyOfInt(v))
		return b.Value, b.Low, b.High
	case float64:
		b := quantile.FloatBinOf(quantile.KeyOfFloat(v))
		return b.Value, b.Low, b.High
	}
	return nil, nil, nil
}

// trueQuantile returns the first of the sorted values that so many percent of them do not exceed.
func (r *Row) trueQuantile(m query.Measure) any {
	var values []any
	for _, e := range r.Events {
		if v := e.Fields[m.Field]; v != nil {
			values = append(values, v)
		}
	}
	slices.SortFunc(values, func(a, b any) int { return Compare(a, b, false) })
	for i, v := range values {
		if (i+1)*100_000 >= int(m.Rank)*len(values) {
			return v
		}
	}
	return nil
}

// Bins returns how many values of a measure each bin has.
func (r *Row) Bins(m query.Measure) map[int16]uint64 {
	bins := map[int16]uint64{}
	for _, e := range r.Events {
		switch v := e.Fields[m.Field].(type) {
		case int64:
			bins[quantile.KeyOfInt(v)]++
		case float64:
			bins[quantile.KeyOfFloat(v)]++
		}
	}
	return bins
}
