package encode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/query"
	"recount/serving/merge"
)

// arrowRows is how many rows a record batch has.
const arrowRows = 64 << 10

// Arrow writes the answer as an Arrow IPC stream.
func Arrow(w io.Writer, a *merge.Answer) (err error) {
	accuracy, err := json.Marshal(a.Accuracy)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	metadata := arrow.NewMetadata([]string{"accuracy"}, []string{string(accuracy)})
	schema := arrow.NewSchema(arrowFields(a), &metadata)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	out := ipc.NewWriter(w, ipc.WithSchema(schema))
	defer func() { err = errors.Join(err, out.Close()) }()
	return fillBatches(b, a, func() error { return writeRecord(out, b) })
}

// fillBatches fills the builder with rows again and again, and calls write each time.
func fillBatches(b *array.RecordBuilder, a *merge.Answer, write func() error) error {
	for _, rows := range tables(a) {
		for from := 0; from < rows.Rows(); from += arrowRows {
			fillArrow(b, a, rows, from, min(from+arrowRows, rows.Rows()))
			if err := write(); err != nil {
				return fmt.Errorf("write answer: %w", err)
			}
		}
	}
	return nil
}

func writeRecord(out *ipc.Writer, b *array.RecordBuilder) error {
	record := b.NewRecord()
	defer record.Release()
	return out.Write(record)
}

// arrowFields returns the fields of Columns.
func arrowFields(a *merge.Answer) []arrow.Field {
	zone := "UTC"
	if a.Location != nil {
		zone = a.Location.String()
	}
	timestamp := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: zone}
	types := map[catalog.FieldType]arrow.DataType{
		catalog.String: arrow.BinaryTypes.String, catalog.Int64: arrow.PrimitiveTypes.Int64,
		catalog.Bool:    arrow.FixedWidthTypes.Boolean,
		catalog.Float64: arrow.PrimitiveTypes.Float64, catalog.Timestamp: timestamp,
	}
	var columnTypes []arrow.DataType
	if a.Windowed {
		columnTypes = append(columnTypes, timestamp)
	}
	for _, d := range a.Dims {
		columnTypes = append(columnTypes, types[d.Type])
	}
	for _, m := range a.Measures {
		if d, ok := decimal.ParseType(string(m.Type)); ok {
			types[m.Type] = &arrow.Decimal128Type{Precision: int32(d.Precision), Scale: int32(d.Scale)}
		}
		columnTypes = append(columnTypes, types[m.Type])
	}
	for i := range a.Measures {
		m := &a.Measures[i]
		if !m.IsDerived() {
			columnTypes = append(columnTypes, types[m.Type])
		}
		if m.Estimated {
			columnTypes = append(columnTypes, types[m.Type], types[m.Type])
		}
	}
	for _, m := range previous(a) {
		columnTypes = append(columnTypes, types[m.Type])
	}
	if a.Others != nil {
		columnTypes = append(columnTypes, arrow.FixedWidthTypes.Boolean)
	}
	fields := make([]arrow.Field, len(columnTypes))
	for i, name := range Columns(a) {
		fields[i] = arrow.Field{Name: name, Type: columnTypes[i], Nullable: true}
	}
	return fields
}

// fillArrow appends rows [from, to) of one of the tables of an answer, column by column.
func fillArrow(b *array.RecordBuilder, a, rows *merge.Answer, from, to int) {
	next := 0
	column := func() array.Builder {
		next++
		return b.Field(next - 1)
	}
	if rows.Windowed {
		appendTimes(column().(*array.TimestampBuilder), rows.Times[from:to])
	}
	for d := range a.Dims {
		if rows == a {
			appendColumn(column(), &a.Dims[d].Column, from, to)
		} else {
			column().AppendNulls(to - from)
		}
	}
	for j := range rows.Measures {
		m := &rows.Measures[j]
		appendValues(column(), &m.Value, from, to, func(int) bool { return true })
	}
	for j := range rows.Measures {
		m := &rows.Measures[j]
		if !m.IsDerived() {
			appendValues(column(), &m.Live, from, to, rows.IsLive)
		}
		if m.Estimated {
			appendValues(column(), &m.Low, from, to, m.Bounded)
			appendValues(column(), &m.High, from, to, m.Bounded)
		}
	}
	for _, m := range previous(rows) {
		appendValues(column(), &m.Value, from, to, func(int) bool { return true })
	}
	if a.Others != nil {
		marks := column().(*array.BooleanBuilder)
		for range to - from {
			marks.Append(rows == a.Others)
		}
	}
}

func appendTimes(b *array.TimestampBuilder, times []int64) {
	b.Reserve(len(times))
	for _, t := range times {
		b.UnsafeAppend(arrow.Timestamp(t))
	}
}

func appendColumn(b array.Builder, c *query.Column, from, to int) {
	b.Reserve(to - from)
	for i := from; i < to; i++ {
		if c.IsNull(i) {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.StringBuilder:
			b.Append(c.Strings[i])
		case *array.BooleanBuilder:
			b.Append(c.Ints[i] == 1)
		case *array.Int64Builder:
			b.Append(c.Ints[i])
		}
	}
}

// appendValues appends the values of the rows for which has returns true, and null for all others.
func appendValues(b array.Builder, v *merge.Values, from, to int, has func(int) bool) {
	b.Reserve(to - from)
	for i := from; i < to; i++ {
		if !has(i) || v.Null[i] {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Float64Builder:
			b.Append(v.Floats[i])
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(v.Ints[i]))
		case *array.Int64Builder:
			b.Append(v.Ints[i])
		case *array.Decimal128Builder:
			high := v.Ints[i] >> 63
			if v.Highs != nil {
				high = v.Highs[i]
			}
			b.Append(decimal128.New(high, uint64(v.Ints[i])))
		}
	}
}
