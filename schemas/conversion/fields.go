package conversion

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// Fields are the declared fields of an event type that are to be read.
type Fields []catalog.Field

// FieldsOf returns those of the columns that are declared fields. The others are attributes of every event, whose
// types never change.
func FieldsOf(e *catalog.EventType, columns []string) (out Fields) {
	for _, f := range e.Fields {
		if slices.Contains(columns, f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// Read returns the events with every field in its declared type. A field that they lack stays absent. lost is nil if
// every value could be converted. The result shares the memory of c.
func (f Fields) Read(c eventbatch.Columns) (out eventbatch.Columns, lost Lost) {
	var changed map[string]arrow.Array
	for _, field := range f {
		column := c.Field(field.Name)
		if column == nil || fits(column.DataType(), field.Type) {
			continue
		}
		if changed == nil {
			changed = map[string]arrow.Array{}
		}
		var rows []int
		changed[field.Name], rows = convert(field.Type, column.Len(), valuesOf(column))
		lost = lost.addRows(field.Name, rows)
	}
	if changed == nil {
		return c, nil
	}
	c.Rec = replace(c.Rec, changed)
	return c, lost
}

// fits reports whether a column has the declared type. The lake has some strings as dictionaries.
func fits(t arrow.DataType, declared catalog.FieldType) bool {
	if d, ok := t.(*arrow.DictionaryType); ok {
		t = d.ValueType
	}
	return arrow.TypeEqual(t, eventbatch.ArrowType(declared))
}

// replace returns the record with other columns for those of the same names.
func replace(rec arrow.Record, columns map[string]arrow.Array) arrow.Record {
	fields := slices.Clone(rec.Schema().Fields())
	arrays := slices.Clone(rec.Columns())
	for i, f := range fields {
		if column := columns[f.Name]; column != nil {
			fields[i].Type = column.DataType()
			fields[i].Nullable = true
			arrays[i] = column
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, rec.NumRows())
}

// convert returns n values in the declared type, and the rows whose value it cannot hold.
func convert(t catalog.FieldType, n int, at func(row int) value) (arrow.Array, []int) {
	switch t {
	case catalog.Int64:
		return build(array.NewInt64Builder(memory.DefaultAllocator), n, at, value.asWhole)
	case catalog.Float64:
		return build(array.NewFloat64Builder(memory.DefaultAllocator), n, at, value.asNumber)
	case catalog.Bool:
		return build(array.NewBooleanBuilder(memory.DefaultAllocator), n, at, value.asTruth)
	case catalog.Timestamp:
		b := array.NewTimestampBuilder(memory.DefaultAllocator, eventbatch.TimestampType)
		return build(b, n, at, value.asMoment)
	}
	return build(array.NewStringBuilder(memory.DefaultAllocator), n, at, value.asText)
}

// builder is the part of Arrow's builders that convert needs.
type builder[T any] interface {
	Append(T)
	AppendNull()
	NewArray() arrow.Array
}

func build[T any](b builder[T], n int, at func(row int) value, as func(value) (T, bool)) (arrow.Array, []int) {
	var lost []int
	for row := range n {
		v := at(row)
		converted, ok := as(v)
		switch {
		case ok:
			b.Append(converted)
			continue
		case v.kind != missing:
			lost = append(lost, row)
		}
		b.AppendNull()
	}
	return b.NewArray(), lost
}

// Lost has, by field, the rows whose value could not be converted, ascending.
type Lost map[string][]int

func (l Lost) addRows(field string, rows []int) Lost {
	if len(rows) == 0 {
		return l
	}
	if l == nil {
		l = Lost{}
	}
	l[field] = rows
	return l
}

// Rows returns the rows in which a value of any of the columns is lost, ascending, each once.
func (l Lost) Rows(columns []string) []int {
	var rows []int
	for _, name := range columns {
		rows = append(rows, l[name]...)
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}
