package preview

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/floatsum"
	"recount/schemas/openapi"
	"recount/schemas/quantile"
)

// rowList gathers the rows of a view.
type rowList struct {
	rows        []blockRow
	unconverted int64
}

// blockRow is a row of a block.
type blockRow struct {
	block *exact.Block
	row   int
}

func (l *rowList) add(b *exact.Block) error {
	for row := range b.Rows() {
		l.rows = append(l.rows, blockRow{b, row})
	}
	for _, u := range b.Unconverted {
		l.unconverted += u.Events
	}
	return nil
}

// newest returns the n newest rows. Of one cell those with most events come first.
func (l *rowList) newest(n int) []openapi.PreviewRow {
	slices.SortFunc(l.rows, func(a, b blockRow) int {
		return cmp.Or(cmp.Compare(b.block.Times[b.row], a.block.Times[a.row]),
			cmp.Compare(b.block.Events[b.row], a.block.Events[a.row]), a.compareGroup(b))
	})
	out := []openapi.PreviewRow{}
	for _, r := range l.rows[:min(n, len(l.rows))] {
		out = append(out, r.encode())
	}
	return out
}

// compareGroup orders rows by tenant and dimensions, so that two previews of the same events are the same.
func (r blockRow) compareGroup(o blockRow) int {
	if c := strings.Compare(r.block.Tenants.Value(r.row), o.block.Tenants.Value(o.row)); c != 0 {
		return c
	}
	for d := range r.block.Dims {
		x := &r.block.Dims[d]
		y := &o.block.Dims[d]
		c := cmp.Compare(rank(x.IsNull(r.row)), rank(y.IsNull(o.row)))
		if c == 0 && x.Type == catalog.String {
			c = strings.Compare(x.Value(r.row), y.Value(o.row))
		} else if c == 0 {
			c = cmp.Compare(x.Ints[r.row], y.Ints[o.row])
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r blockRow) encode() openapi.PreviewRow {
	b := r.block
	out := openapi.PreviewRow{"time": time.UnixMicro(b.Times[r.row]).UTC(), "tenant": b.Tenants.Value(r.row)}
	for d, name := range b.View.Dimensions {
		out[name] = dimensionValue(&b.Dims[d], r.row)
	}
	for i := range b.Measures {
		m := &b.Measures[i]
		switch m.Kind {
		case catalog.Count:
			out[m.Name] = b.Events[r.row]
		case catalog.Quantile:
			for _, rank := range quantile.Defaults {
				out[m.Name+"."+rank.String()] = quantileValue(m, r.row, rank)
			}
		default:
			out[m.Name] = measureValue(m, r.row)
		}
	}
	return out
}

func dimensionValue(d *exact.Dimension, row int) any {
	switch {
	case d.IsNull(row):
		return nil
	case d.Type == catalog.String:
		return d.Value(row)
	case d.Type == catalog.Bool:
		return d.Ints[row] != 0
	}
	return d.Ints[row]
}

// measureValue returns a number or a time. It is null for no value, and for a sum that no float64 can hold.
func measureValue(m *exact.Measure, row int) any {
	if m.Kind == catalog.Distinct {
		return m.Starts[row+1] - m.Starts[row]
	}
	n := m.N[row]
	if n == 0 {
		return nil
	}
	if d, ok := m.Type.Decimal(); ok {
		return decimalValue(m, row, d.Scale)
	}
	switch {
	case m.Kind == catalog.Sum && m.Type == catalog.Int64:
		sum := new(big.Int).Lsh(big.NewInt(m.Hi[row]), 64)
		return json.Number(sum.Add(sum, new(big.Int).SetUint64(m.Lo[row])).String())
	case m.Kind == catalog.Avg && m.Type == catalog.Int64:
		return finite(floatsum.Quotient([]uint64{m.Lo[row], uint64(m.Hi[row])}, 0, n))
	case m.Kind == catalog.Sum:
		n = 1
		fallthrough
	case m.Kind == catalog.Avg:
		sum := floatsum.Sum{Near: m.Near[row], Far: m.Far[row]}
		return finite(sum.Mean(n))
	case m.Type == catalog.Float64:
		return m.Floats[row]
	case m.Type == catalog.Timestamp:
		return time.UnixMicro(m.Ints[row]).UTC()
	}
	return m.Ints[row]
}

// quantileValue returns a quantile as answers have it, or null without values.
func quantileValue(m *exact.Measure, row int, rank quantile.Rank) any {
	var sketch quantile.Sketch
	for i := m.Starts[row]; i < m.Starts[row+1]; i++ {
		sketch.Add(m.Keys[i], m.Counts[i])
	}
	if sketch.Len() == 0 {
		return nil
	}
	key := sketch.Key(rank)
	if m.Type == catalog.Float64 {
		return quantile.FloatBinOf(key).Value
	}
	value := quantile.IntBinOf(key).Value
	if d, ok := m.Type.Decimal(); ok {
		return decimal.Format(value, d.Scale)
	}
	return value
}

// decimalValue returns a number as text, as answers have it, or a mean.
func decimalValue(m *exact.Measure, row, scale int) any {
	switch m.Kind {
	case catalog.Avg:
		return decimal.Mean(m.Hi[row], m.Lo[row], scale, m.N[row])
	case catalog.Sum:
		return string(decimal.AppendSum(nil, m.Hi[row], m.Lo[row], scale))
	}
	return decimal.Format(m.Ints[row], scale)
}

func finite(v float64, ok bool) any {
	if !ok {
		return nil
	}
	return v
}
