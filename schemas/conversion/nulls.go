package conversion

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
)

// nulls are the texts that mean null in a field, and the values of its type that they spell.
type nulls[T comparable] struct {
	texts  []string
	values []T
}

func newNulls[T comparable](texts []string, as func(value) (T, bool)) nulls[T] {
	n := nulls[T]{texts: texts}
	for _, s := range texts {
		if v, ok := as(value{kind: text, text: s}); ok {
			n.values = append(n.values, v)
		}
	}
	return n
}

// NullValues returns the values of the field's type that mean null.
func NullValues(f catalog.Field) []any {
	switch f.Type {
	case catalog.Int64:
		return anyOf(newNulls(f.Nulls, value.asWhole).values)
	case catalog.Float64:
		return anyOf(newNulls(f.Nulls, value.asNumber).values)
	case catalog.Bool:
		return anyOf(newNulls(f.Nulls, value.asTruth).values)
	case catalog.Timestamp:
		return anyOf(newNulls(f.Nulls, momentOf).values)
	}
	if d, ok := f.Type.Decimal(); ok {
		return anyOf(newNulls(f.Nulls, asUnits(d)).values)
	}
	return anyOf(f.Nulls)
}

func momentOf(v value) (int64, bool) {
	t, ok := v.asMoment()
	return int64(t), ok
}

func anyOf[T any](values []T) (out []any) {
	for _, v := range values {
		out = append(out, v)
	}
	return out
}

// has reports whether a value means null: by the text that was sent, if it is known, or by what was made of it. So it
// does not matter whether a column or the undeclared fields have the value.
func (n nulls[T]) has(v value, converted T, ok bool) bool {
	if len(n.texts) == 0 {
		return false
	}
	spelled := v.kind == text || v.text != ""
	return spelled && slices.Contains(n.texts, v.text) || ok && slices.Contains(n.values, converted)
}

// withoutNulls returns a column of the declared type without the values that mean null. It is the column itself if
// there are none.
func withoutNulls(f catalog.Field, column arrow.Array) arrow.Array {
	if len(f.Nulls) == 0 {
		return column
	}
	if d, ok := column.(*array.Dictionary); ok {
		return withoutCodes(f, d)
	}
	converted, _ := convert(f, column.Len(), valuesOf(column))
	if converted.NullN() == column.NullN() {
		return column
	}
	return converted
}

// withoutCodes does the same for a dictionary. It looks at each value once, and not at each row.
func withoutCodes(f catalog.Field, d *array.Dictionary) arrow.Array {
	values, _ := convert(f, d.Dictionary().Len(), valuesOf(d.Dictionary()))
	if values.NullN() == d.Dictionary().NullN() {
		return d
	}
	b := array.NewInt32Builder(memory.DefaultAllocator)
	b.Reserve(d.Len())
	for row := range d.Len() {
		if d.IsNull(row) || values.IsNull(d.GetValueIndex(row)) {
			b.AppendNull()
			continue
		}
		b.Append(int32(d.GetValueIndex(row)))
	}
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	return array.NewDictionaryArray(t, b.NewArray(), d.Dictionary())
}
