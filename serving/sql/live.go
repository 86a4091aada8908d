package sql

import (
	"encoding/binary"
	"math"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// rowBinary returns the rows of a real-time part in ClickHouse's format RowBinary, with plainColumns. The scan must be
// by cell and all dimensions. A distinct count is the estimate of its sketch.
func rowBinary(scan *query.Scan, part *query.Part) []byte {
	if part == nil {
		return nil
	}
	var out []byte
	for row, w := range part.Windows {
		out = appendInt(out, scan.Windows.Start(int(w)))
		for d := range scan.GroupBy {
			out = appendDimension(out, &part.Dims[d], row)
		}
		for j := range scan.Measures {
			out = appendMeasure(out, &scan.Measures[j], &part.Measures[j][row])
		}
	}
	return out
}

// Before a value that may be null there is a byte, which is 1 if it is.
const (
	isThere = 0
	isNull  = 1
)

func appendInt(dst []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(v)) }

func appendDimension(dst []byte, c *query.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, isNull)
	}
	dst = append(dst, isThere)
	switch c.Type {
	case catalog.String:
		dst = binary.AppendUvarint(dst, uint64(len(c.Strings[row])))
		return append(dst, c.Strings[row]...)
	case catalog.Bool:
		return append(dst, byte(c.Ints[row]))
	}
	return appendInt(dst, c.Ints[row])
}

func appendMeasure(dst []byte, m *query.Measure, a *query.Acc) []byte {
	switch {
	case m.Kind == catalog.Count:
		return binary.LittleEndian.AppendUint64(dst, a.N)
	case m.Kind == catalog.Distinct && a.Sketch == nil:
		return binary.LittleEndian.AppendUint64(dst, 0)
	case m.Kind == catalog.Distinct:
		return binary.LittleEndian.AppendUint64(dst, a.Sketch.Estimate())
	case a.N == 0:
		return append(dst, isNull)
	case m.Kind == catalog.Quantile:
		return appendQuantile(dst, m, a.Bins.Key(m.Rank))
	case m.Kind == catalog.Avg:
		v, fits := mean(m, a)
		return appendFloat(dst, v, fits)
	case m.Kind == catalog.Sum:
		return appendSum(dst, m, a)
	case m.Type == catalog.Float64:
		return appendFloat(dst, a.Float+0, true) // -0 is 0, whichever came first.
	}
	return appendInt(append(dst, isThere), int64(a.Lo))
}

func appendQuantile(dst []byte, m *query.Measure, key int16) []byte {
	if m.Type == catalog.Float64 {
		return appendFloat(dst, quantile.FloatBinOf(key).Value, true)
	}
	return appendInt(append(dst, isThere), quantile.IntBinOf(key).Value)
}

func appendSum(dst []byte, m *query.Measure, a *query.Acc) []byte {
	if m.Type == catalog.Float64 {
		v, fits := a.Sum.Float64()
		return appendFloat(dst, v, fits)
	}
	if m.Type.IsDecimal() {
		if !decimal.SumFits(a.Hi, a.Lo) {
			return append(dst, isNull)
		}
		dst = binary.LittleEndian.AppendUint64(append(dst, isThere), a.Lo)
		return appendInt(dst, a.Hi)
	}
	sum, fits := a.Int64()
	if !fits {
		return append(dst, isNull)
	}
	return appendInt(append(dst, isThere), sum)
}

func mean(m *query.Measure, a *query.Acc) (float64, bool) {
	if m.Type == catalog.Float64 {
		return a.Sum.Mean(a.N)
	}
	if d, ok := m.Type.Decimal(); ok {
		return decimal.Mean(a.Hi, a.Lo, d.Scale, a.N), true
	}
	return floatsum.Quotient([]uint64{a.Lo, uint64(a.Hi)}, 0, a.N)
}

func appendFloat(dst []byte, v float64, fits bool) []byte {
	if !fits {
		return append(dst, isNull)
	}
	return binary.LittleEndian.AppendUint64(append(dst, isThere), math.Float64bits(v))
}
