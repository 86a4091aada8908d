package oracle

import (
	"math/big"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/query"
)

// Stored returns the columns of a measure as ClickHouse stores them, in the order of sqlschema.MeasureColumns.
func (r *Row) Stored(m query.Measure) []any {
	v := r.Measure(m)
	switch {
	case m.Kind == catalog.Count:
		return []any{uint64(len(r.Events))}
	case m.Kind == catalog.Distinct:
		return []any{string(distinct.AppendState(nil, r.Hashes(m)))}
	case m.Kind == catalog.Quantile:
		return []any{r.Bins(m)}
	case m.SumsFloats():
		total, n := r.FloatSum(m)
		near := new(big.Int)
		for i := range total.Near {
			near.Add(near.Lsh(near, 64), new(big.Int).SetUint64(total.Near[3-i]))
		}
		if int64(total.Near[3]) < 0 {
			near.Sub(near, new(big.Int).Lsh(big.NewInt(1), 256))
		}
		return []any{near, string(total.Far.Append(nil)), n}
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		var n uint64
		sum := new(big.Int)
		for _, e := range r.Events {
			if x, ok := e.Fields[m.Field].(int64); ok {
				n++
				sum.Add(sum, big.NewInt(x))
			}
		}
		return []any{sum, n}
	case v != nil && m.Type == catalog.Timestamp:
		return []any{time.UnixMicro(v.(int64)).UTC()}
	}
	return []any{v}
}

// Hashes returns the hashes of the distinct strings of a measure.
func (r *Row) Hashes(m query.Measure) (hashes []uint64) {
	for _, e := range r.Events {
		if x, ok := e.Fields[m.Field].(string); ok && !slices.Contains(hashes, distinct.HashString(x)) {
			hashes = append(hashes, distinct.HashString(x))
		}
	}
	return hashes
}

// FloatSum returns the sum of the floats of a measure, and how many there are.
func (r *Row) FloatSum(m query.Measure) (total floatsum.Sum, n uint64) {
	for _, e := range r.Events {
		if x, ok := e.Fields[m.Field].(float64); ok {
			n++
			total.Add(x)
		}
	}
	return total, n
}
