package api

import (
	"encoding/json"
	"net/http"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/serving/merge"
)

// encodeArrow writes one record batch: time, dimensions, measures, and NAME_low and
// NAME_high of distinct measures that have bounds. The accuracy block is JSON in the
// schema's metadata under the key accuracy.
func encodeArrow(w http.ResponseWriter, a *merge.Answer) error {
	accuracyHeaders(w.Header(), &a.Accuracy)
	accuracy, err := json.Marshal(a.Accuracy)
	if err != nil {
		return err
	}
	var fields []arrow.Field
	var columns []arrow.Array
	add := func(name string, t arrow.DataType, fill func(array.Builder)) {
		b := array.NewBuilder(memory.DefaultAllocator, t)
		defer b.Release()
		b.Reserve(a.Rows())
		fill(b)
		fields, columns = append(fields, arrow.Field{Name: name, Type: t, Nullable: true}), append(columns, b.NewArray())
	}
	if a.Windowed {
		zone := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: a.Location.String()}
		add("time", zone, func(b array.Builder) { appendInts(b, a.Times, nil) })
	}
	for _, d := range a.Dims {
		add(d.Name, eventbatch.ArrowType(d.Type), func(b array.Builder) {
			if s, ok := b.(*array.StringBuilder); ok {
				s.AppendValues(d.Strings, valid(d.Null))
				return
			}
			appendInts(b, d.Ints, d.Null)
		})
	}
	for _, m := range a.Measures {
		add(m.Name, eventbatch.ArrowType(m.Type), func(b array.Builder) {
			if f, ok := b.(*array.Float64Builder); ok {
				f.AppendValues(m.Value.Floats, valid(m.Value.Null))
				return
			}
			appendInts(b, m.Value.Ints, m.Value.Null)
		})
		if m.Kind == catalog.Distinct && m.Low != nil {
			add(m.Name+"_low", arrow.PrimitiveTypes.Int64, func(b array.Builder) { appendInts(b, m.Low, nil) })
			add(m.Name+"_high", arrow.PrimitiveTypes.Int64, func(b array.Builder) { appendInts(b, m.High, nil) })
		}
	}
	meta := arrow.NewMetadata([]string{"accuracy"}, []string{string(accuracy)})
	rec := array.NewRecord(arrow.NewSchema(fields, &meta), columns, int64(a.Rows()))
	defer rec.Release()
	out := ipc.NewWriter(w, ipc.WithSchema(rec.Schema()))
	if err := out.Write(rec); err != nil {
		return err
	}
	return out.Close()
}

// valid is the reverse of a null mask; nil when nothing is null.
func valid(null []bool) []bool {
	if null == nil {
		return nil
	}
	out := make([]bool, len(null))
	for i, n := range null {
		out[i] = !n
	}
	return out
}

// appendInts appends int64 values to a builder of int64, timestamp or bool.
func appendInts(b array.Builder, values []int64, null []bool) {
	for i, v := range values {
		if null != nil && null[i] {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(v)
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(v))
		case *array.BooleanBuilder:
			b.Append(v != 0)
		}
	}
}
