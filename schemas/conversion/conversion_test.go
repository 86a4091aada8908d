package conversion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// column returns a column of the type with the values; nil is null.
func column(t catalog.FieldType, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, eventbatch.ArrowType(t))
	for _, v := range values {
		switch b := b.(type) {
		case *array.StringBuilder:
			appendTo(b, v, b.Append)
		case *array.Int64Builder:
			appendTo(b, v, b.Append)
		case *array.Float64Builder:
			appendTo(b, v, b.Append)
		case *array.BooleanBuilder:
			appendTo(b, v, b.Append)
		case *array.TimestampBuilder:
			appendTo(b, v, b.Append)
		}
	}
	return b.NewArray()
}

func appendTo[T any](b array.Builder, v any, add func(T)) {
	if v == nil {
		b.AppendNull()
		return
	}
	add(v.(T))
}

// batch returns events with one field f, and extra in their column of undeclared fields.
func batch(f arrow.Array) eventbatch.Columns {
	fields := []arrow.Field{{Name: "f", Type: f.DataType(), Nullable: true}}
	return eventbatch.Columns{Rec: array.NewRecord(arrow.NewSchema(fields, nil), []arrow.Array{f}, int64(f.Len()))}
}

// read returns the values of f as it is declared, as text, with lost ones marked.
func read(c eventbatch.Columns, declared catalog.FieldType) string {
	c, lost := Fields{{Name: "f", Type: declared}}.Read(c, false)
	f := c.Field("f")
	var out []string
	for i := range f.Len() {
		switch {
		case slices.Contains(lost["f"], i):
			out = append(out, "lost")
		case f.IsNull(i):
			out = append(out, "null")
		default:
			out = append(out, f.ValueStr(i))
		}
	}
	return strings.Join(out, " ")
}

// TestTypes converts values of every type to every type.
func TestTypes(t *testing.T) {
	t.Parallel()
	const noon = arrow.Timestamp(1714564800_000001)
	tests := []struct {
		stored   catalog.FieldType
		values   []any
		declared catalog.FieldType
		want     string
	}{
		{catalog.Int64, []any{int64(5), int64(math.MinInt64), nil}, catalog.String, "5 -9223372036854775808 null"},
		{catalog.Int64, []any{int64(5), int64(1<<53 + 1)}, catalog.Float64, "5 9.007199254740992e+15"},
		{catalog.Int64, []any{int64(1), int64(0)}, catalog.Bool, "lost lost"},
		{catalog.Int64, []any{int64(1)}, catalog.Timestamp, "lost"},
		{catalog.Float64, []any{2.5, 5.0, 1e21, 0.1}, catalog.String, "2.5 5 1e+21 0.1"},
		{catalog.Float64, []any{2.5, -5.0, 1e19, -9223372036854775808.0, 9223372036854775808.0, nil}, catalog.Int64,
			"lost -5 lost -9223372036854775808 lost null"},
		{catalog.Float64, []any{1.0}, catalog.Bool, "lost"},
		{catalog.Float64, []any{1.0}, catalog.Timestamp, "lost"},
		{catalog.Bool, []any{true, false, nil}, catalog.String, "true false null"},
		{catalog.Bool, []any{true}, catalog.Int64, "lost"},
		{catalog.Bool, []any{true}, catalog.Float64, "lost"},
		{catalog.Bool, []any{true}, catalog.Timestamp, "lost"},
		{catalog.Timestamp, []any{noon, nil}, catalog.String, "lost null"},
		{catalog.Timestamp, []any{noon}, catalog.Int64, "lost"},
		{catalog.Timestamp, []any{noon}, catalog.Float64, "lost"},
		{catalog.Timestamp, []any{noon}, catalog.Bool, "lost"},
		{catalog.String, []any{"5", "-5.0", "5e2", "9007199254740993.0", "", "05", "+5", " 5", "5 ", "5.5", "x",
			"1e400", "99999999999999999999", "0x5", "5_0", "-", "true"}, catalog.Int64,
			"5 -5 500 9007199254740993 lost lost lost lost lost lost lost lost lost lost lost lost lost"},
		{catalog.String, []any{"2.50", "-0", "5", "1e400", "NaN", "Inf", ".5", "99999999999999999999"}, catalog.Float64,
			"2.5 0 5 lost lost lost lost 1e+20"},
		{catalog.String, []any{"true", "false", "True", "1", nil}, catalog.Bool, "true false lost lost null"},
		{catalog.String, []any{"2024-05-01T12:00:00.0000019Z", "2024-05-01", "1969-12-31T00:00:00Z"}, catalog.Timestamp,
			"2024-05-01 12:00:00.000001Z lost lost"},
	}
	for _, test := range tests {
		got := read(batch(column(test.stored, test.values)), test.declared)
		if got != test.want {
			t.Errorf("%s as %s:\ngot  %s\nwant %s", test.stored, test.declared, got, test.want)
		}
	}
}

// withExtra returns events with these texts of undeclared fields, nil for none, and f if it has a column.
func withExtra(f arrow.Array, extra ...any) eventbatch.Columns {
	fields := []arrow.Field{{Name: eventbatch.ColExtra, Type: arrow.BinaryTypes.String, Nullable: true}}
	arrays := []arrow.Array{column(catalog.String, extra)}
	if f != nil {
		fields = append(fields, arrow.Field{Name: "f", Type: f.DataType(), Nullable: true})
		arrays = append(arrays, f)
	}
	return eventbatch.Columns{Rec: array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(len(extra)))}
}

// TestUndeclared reads a field that was not declared when the events came.
func TestUndeclared(t *testing.T) {
	t.Parallel()
	data := func(values ...string) (extra []any) {
		for _, v := range values {
			extra = append(extra,
				`{"attributes":{"f":"no"},"data":{"a":{"f":1,"data":{"f":2}},"f":`+v+`,"g":[3,{"f":4}]}}`)
		}
		return append(extra, nil, `{"attributes":{"f":"no"}}`, `{"data":{"a":"\"f\":1","z":{"f":9}}}`)
	}
	tests := []struct {
		values   []string
		declared catalog.FieldType
		want     string
	}{
		{[]string{"5", "5.0", "5e0", "-0", "9223372036854775808", "0.5", `"7"`, "true", "{}", "[5]", "1e400"},
			catalog.Int64, "5 5 5 0 lost lost 7 lost lost lost lost"},
		{[]string{"5", "0.50", "99999999999999999999", `"1e1"`, "false", "1e400"}, catalog.Float64,
			"5 0.5 1e+20 10 lost lost"},
		{[]string{`"x"`, `""`, `"\u00e9\n\"}"`, "5.0", "0.50", "99999999999999999999", "0.1000000000000000001",
			"true", "{}"}, catalog.String, "x  é\n\"} 5 0.5 lost lost true lost"},
		{[]string{"true", "false", `"true"`, "1"}, catalog.Bool, "true false true lost"},
		{[]string{`"1970-01-01T00:00:01+00:00"`, "1"}, catalog.Timestamp, "1970-01-01 00:00:01Z lost"},
	}
	for _, test := range tests {
		c := withExtra(nil, data(test.values...)...)
		if got := read(c, test.declared); got != test.want+" null null null" {
			t.Errorf("%s:\ngot  %s\nwant %s null null null", test.declared, got, test.want)
		}
	}
}

// TestMixed: in events of several declarations a value comes from the column, or else from the undeclared fields. In
// events of one declaration the column says it all.
func TestMixed(t *testing.T) {
	t.Parallel()
	stored := column(catalog.Int64, []any{int64(1), nil, nil})
	c := withExtra(stored, nil, `{"data":{"f":"2"}}`, `{"data":{"g":3}}`)
	for mixed, want := range map[bool]string{true: "1 2 null", false: "1 null null"} {
		got, lost := Fields{{Name: "f", Type: catalog.Int64}}.Read(c, mixed)
		if text := strings.ReplaceAll(strings.Trim(fmt.Sprint(got.Field("f")), "[]"), "(null)", "null"); text != want ||
			lost != nil {
			t.Errorf("mixed %t: got %s, want %s, lost %v", mixed, text, want, lost)
		}
	}
	if got, _ := (Fields{{Name: "g", Type: catalog.Bool}}).Read(withExtra(nil, nil, nil), true); got.Field("g") != nil {
		t.Error("a field that no event has got a column")
	}
}

// TestNeedsExtra: the undeclared fields are read if a field has no column, or if events are mixed.
func TestNeedsExtra(t *testing.T) {
	t.Parallel()
	has := func(column string) bool { return column == "f" }
	f := Fields{{Name: "f", Type: catalog.Int64}}
	if f.NeedsExtra(has, false) || !f.NeedsExtra(has, true) || Fields(nil).NeedsExtra(has, true) ||
		!append(f, catalog.Field{Name: "g"}).NeedsExtra(has, false) {
		t.Error("wrong")
	}
}

// FuzzUndeclared: a member is found in any text, and is the one that encoding/json finds.
func FuzzUndeclared(f *testing.F) {
	f.Add(`{"data":{"f":{"a":"}"}}}`)
	f.Add(`{"attributes":{"a":"\\\""},"data":{"e":[1,{"f":2}],"f":3}}`)
	f.Add(`{"data":{"f":"`)
	f.Fuzz(func(t *testing.T, extra string) {
		got := member(member(extra, "data"), "f")
		var want struct {
			Data map[string]json.RawMessage `json:"data"`
		}
		canonical := new(bytes.Buffer)
		if json.Compact(canonical, []byte(extra)) != nil || canonical.String() != extra ||
			strings.Count(extra, `"data":`) != 1 || strings.Count(extra, `"f":`) != 1 ||
			strings.Contains(extra, `\u`) || json.Unmarshal([]byte(extra), &want) != nil {
			return // Ingest does not write it, but it must not make the program panic.
		}
		if got != string(want.Data["f"]) {
			t.Fatalf("%s: got %q, want %q", extra, got, want.Data["f"])
		}
	})
}

// TestSameTypes: a column of the declared type is the same array, and a dictionary of strings is a string.
func TestSameTypes(t *testing.T) {
	t.Parallel()
	dictionary := array.NewDictionaryArray(
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String},
		array.NewInt32Data(array.NewData(arrow.PrimitiveTypes.Int32, 2,
			[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{1, 0}))}, nil, 0, 0)),
		column(catalog.String, []any{"x", "7"}))
	for declared, f := range map[catalog.FieldType]arrow.Array{
		catalog.String: dictionary, catalog.Int64: column(catalog.Int64, []any{int64(1)}),
		catalog.Timestamp: column(catalog.Timestamp, []any{nil}),
	} {
		c, lost := Fields{{Name: "f", Type: declared}, {Name: "g", Type: catalog.Bool}}.Read(batch(f), false)
		if c.Field("f") != f || c.Field("g") != nil || lost != nil {
			t.Errorf("%s: got %v, lost %v", declared, c.Rec, lost)
		}
	}
	if got := read(batch(dictionary), catalog.Int64); got != "7 lost" {
		t.Errorf("a dictionary as int64: got %s", got)
	}
}

// TestLostRows: a row counts once, however many of its values are lost.
func TestLostRows(t *testing.T) {
	t.Parallel()
	lost := Lost{"a": {3, 5}, "b": {1, 5}, "c": {7}}
	if got := fmt.Sprint(lost.Rows([]string{"b", "a", "d"})); got != "[1 3 5]" {
		t.Error(got)
	}
}

// FuzzNumber: a text is a number exactly if JSON reads it as one, and its value is the one that JSON gives.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-0", "1.0", "1e3", "01", "1e", "--1", "9223372036854775807.0", "1E-400", "1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := parseNumber(s)
		want, isNumber := decodeNumber(s)
		switch got, ok := v.asNumber(); {
		case ok != isNumber:
			t.Fatalf("%q: got a number %t, want %t", s, ok, isNumber)
		case ok && got != want && !(v.kind == whole && float64(v.whole) == want):
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
	})
}

// decodeNumber reads a number with encoding/json.
func decodeNumber(s string) (float64, bool) {
	var f float64
	if strings.TrimSpace(s) != s || !strings.ContainsAny(s[:min(1, len(s))], "-0123456789") {
		return 0, false
	}
	return f, json.Unmarshal([]byte(s), &f) == nil
}
