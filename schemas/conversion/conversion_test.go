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
	"recount/schemas/decimal"
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
	if d, ok := eventbatch.ArrowType(t).(*eventbatch.DecimalType); ok {
		return d.Array(b.NewArray())
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
		case declared.IsDecimal():
			d, _ := declared.Decimal()
			out = append(out, decimal.Format(f.(*array.Int64).Value(i), d.Scale))
		default:
			out = append(out, f.ValueStr(i))
		}
	}
	if f.DataType().String() != eventbatch.ArrowType(declared).String() {
		return fmt.Sprintf("a column of type %s", f.DataType())
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
		{catalog.Int64, []any{int64(5), int64(-99), int64(100), nil}, "decimal(4,2)", "5.00 -99.00 lost null"},
		{catalog.Int64, []any{int64(math.MinInt64), int64(math.MaxInt64)}, "decimal(18,0)", "lost lost"},
		{catalog.Float64, []any{0.1, 2.5, 0.0, 12.345, 1e17, 123456789012.345, 1234567890123.4567, 1e-7,
			0.30000000000000004}, "decimal(18,3)", "0.100 2.500 0.000 12.345 lost 123456789012.345 lost lost lost"},
		{catalog.Float64, []any{0.30000000000000004, 0.3, 0.123456789012345}, "decimal(18,17)",
			"lost 0.30000000000000000 0.12345678901234500"},
		{catalog.Float64, []any{1e17, -1e17, 9007199254740993.0, 999999999999999.0, 1234567890123456.0, 0.5},
			"decimal(18,0)", "100000000000000000 -100000000000000000 lost 999999999999999 lost lost"},
		{catalog.String, []any{"12.34", "1e-2", "1.50", "0.001", "1e400", "NaN", "", " 1", "+1", "0x1", "-0",
			"1234567890123456789", "0e99999999999"}, "decimal(18,2)",
			"12.34 0.01 1.50 lost lost lost lost lost lost lost 0.00 lost 0.00"},
		{catalog.Bool, []any{true}, "decimal(18,2)", "lost"},
		{catalog.Timestamp, []any{noon}, "decimal(18,2)", "lost"},
		{"decimal(10,2)", []any{int64(1250), int64(-1), nil}, "decimal(12,4)", "12.5000 -0.0100 null"},
		{"decimal(12,4)", []any{int64(125000), int64(12345), int64(-100)}, "decimal(10,2)", "12.50 lost -0.01"},
		{"decimal(10,2)", []any{int64(1250), int64(9_999_999_999)}, "decimal(4,2)", "12.50 lost"},
		{"decimal(18,0)", []any{int64(999_999_999_999_999_999), int64(1)}, "decimal(18,18)", "lost lost"},
		{"decimal(18,2)", []any{int64(1250), int64(-5), nil}, catalog.String, "12.50 -0.05 null"},
		{"decimal(18,2)", []any{int64(1200), int64(1250), int64(-100)}, catalog.Int64, "12 lost -1"},
		{"decimal(18,2)", []any{int64(1250), int64(10), int64(999_999_999_999_999_999)}, catalog.Float64,
			"12.5 0.1 1e+16"},
		{"decimal(18,2)", []any{int64(100)}, catalog.Bool, "lost"},
		{"decimal(18,2)", []any{int64(100)}, catalog.Timestamp, "lost"},
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
		{[]string{"0e99999", `"0e1001"`, "-1." + strings.Repeat("0", 63), "1." + strings.Repeat("0", 64),
			"0." + strings.Repeat("0", 80) + "5e81", "1e1001", "10e-1", "100e-3"},
			catalog.Int64, "0 0 -1 lost 5 lost 1 lost"},
		{[]string{"5", "0.50", "99999999999999999999", `"1e1"`, "false", "1e400"}, catalog.Float64,
			"5 0.5 1e+20 10 lost lost"},
		{[]string{`"x"`, `""`, `"\u00e9\n\"}"`, "5.0", "0.50", "99999999999999999999", "0.1000000000000000001",
			"true", "{}"}, catalog.String, "x  é\n\"} 5 0.5 lost lost true lost"},
		{[]string{"true", "false", `"true"`, "1"}, catalog.Bool, "true false true lost"},
		{[]string{"12.34", `"0.10"`, "1.5e1", "99999999999999999999", "0.1000000000000000001", "1e400", "-0", "true",
			"{}", "1234567890123456.78"}, "decimal(18,2)",
			"12.34 0.10 15.00 lost lost lost 0.00 lost lost 1234567890123456.78"},
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

// TestPaths reads values inside of other members, and under names that no column has.
func TestPaths(t *testing.T) {
	t.Parallel()
	extra := column(catalog.String, []any{
		`{"data":{"Page URL":"x","user":{"id":1,"\u0069d2":2,"a.b":{"c":3},"no":null}}}`,
		`{"data":{"id":4,"user":[{"id":5}],"x":{"user":{"id":6}}}}`, nil, `{"attributes":{"user":"7"}}`})
	c := eventbatch.Columns{Rec: array.NewRecord(arrow.NewSchema([]arrow.Field{
		{Name: eventbatch.ColExtra, Type: arrow.BinaryTypes.String, Nullable: true}}, nil), []arrow.Array{extra}, 4)}
	for text, want := range map[string]string{
		"user.id": "1 - - -", "user.id2": "2 - - -", `user."a.b".c`: "3 - - -", "user.no": "", "user.id.x": "",
		"Page URL": "x - - -", "x.user.id": "- 6 - -", "id": "- 4 - -", "user": "lost lost - -",
	} {
		path, err := catalog.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		read, lost := Fields{{Name: "f", Type: catalog.String, Path: path}}.Read(c, false)
		got := ""
		if f := read.Field("f"); f != nil {
			var values []string
			for i := range f.Len() {
				switch {
				case slices.Contains(lost["f"], i):
					values = append(values, "lost")
				case f.IsNull(i):
					values = append(values, "-")
				default:
					values = append(values, f.ValueStr(i))
				}
			}
			got = strings.Join(values, " ")
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestExchangedColumns: two fields may read each other's member. A field whose member no event has is absent, even
// where a column has its name.
func TestExchangedColumns(t *testing.T) {
	t.Parallel()
	a := column(catalog.Int64, []any{int64(1)})
	b := column(catalog.Int64, []any{int64(2)})
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "a", Type: a.DataType(), Nullable: true},
		{Name: "b", Type: b.DataType(), Nullable: true}}, nil), []arrow.Array{a, b}, 1)
	f := Fields{{Name: "a", Type: catalog.Int64, Path: []string{"b"}},
		{Name: "b", Type: catalog.Int64, Path: []string{"c"}},
		{Name: "d", Type: catalog.String, Path: []string{"a"}}}
	c, _ := f.Read(eventbatch.Columns{Rec: rec}, false)
	if c.Field("a") != b || c.Field("b") != nil || c.Field("d").ValueStr(0) != "1" {
		t.Errorf("got %v", c.Rec)
	}
	if got := fmt.Sprint(f.Stored([]string{"a", "time", "d", "b", "e"})); got != "[b time a c e]" {
		t.Errorf("got %s", got)
	}
}

// TestNullValues: a value means null by its text or by what the text is in its type, in columns and dictionaries.
func TestNullValues(t *testing.T) {
	t.Parallel()
	nulls := []string{"", "NA", "5.0", "true", "1970-01-01T01:00:00+01:00"}
	for _, test := range []struct {
		column arrow.Array
		as     catalog.FieldType
		want   string
	}{
		{column(catalog.String, []any{"", "NA", "na", "5.0", "5", nil}), catalog.String, "- - na - 5 -"},
		{column(catalog.Int64, []any{int64(5), int64(6), nil}), catalog.Int64, "- 6 -"},
		{column(catalog.Float64, []any{5.0, 5.5}), catalog.Float64, "- 5.5"},
		{column(catalog.Bool, []any{true, false}), catalog.Bool, "- false"},
		{column(catalog.Timestamp, []any{arrow.Timestamp(0), arrow.Timestamp(1)}), catalog.Timestamp,
			"- 1970-01-01 00:00:00.000001Z"},
		{column(catalog.String, []any{"NA", "5.0", "5", "7", "x"}), catalog.Int64, "- - - 7 lost"},
		{dictionary("NA", "x", "NA", "5.0"), catalog.String, "- x - -"},
	} {
		c, lost := Fields{{Name: "f", Type: test.as, Nulls: nulls}}.Read(batch(test.column), false)
		var got []string
		for i := range int(c.Rec.NumRows()) {
			switch f := c.Field("f"); {
			case slices.Contains(lost["f"], i):
				got = append(got, "lost")
			case f.IsNull(i):
				got = append(got, "-")
			default:
				got = append(got, f.ValueStr(i))
			}
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%v as %s: got %s, want %s", test.column, test.as, text, test.want)
		}
	}
	kept := dictionary("x", "y")
	c, _ := Fields{{Name: "f", Type: catalog.String, Nulls: nulls}}.Read(batch(kept), false)
	if c.Field("f") != kept {
		t.Error("a column without null values was copied")
	}
}

func dictionary(values ...string) arrow.Array {
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	b := array.NewDictionaryBuilder(memory.DefaultAllocator, t).(*array.BinaryDictionaryBuilder)
	for _, v := range values {
		if err := b.AppendString(v); err != nil {
			panic(err)
		}
	}
	return b.NewArray()
}

// TestComputed: a computed field is made of fields as they are declared, also where its name is that of a column. What
// is made of a lost value counts as lost.
func TestComputed(t *testing.T) {
	t.Parallel()
	x := column(catalog.String, []any{"5", "NA", "x", nil})
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "x", Type: x.DataType(), Nullable: true},
		{Name: eventbatch.ColTime, Type: eventbatch.TimestampType}}, nil), []arrow.Array{x,
		column(catalog.Timestamp, slices.Repeat([]any{arrow.Timestamp(0)}, 4))}, 4)
	e := &catalog.EventType{Fields: []catalog.Field{{Name: "unused", Type: catalog.String},
		{Name: "x", Type: catalog.Int64, Expression: "coalesce(y, 0) * 2 + year(time)"},
		{Name: "y", Type: catalog.Int64, Path: []string{"x"}, Nulls: []string{"NA"}}}}
	f := FieldsOf(e, []string{"x"})
	if got := fmt.Sprint(f.Stored([]string{"x", "source"})); len(f) != 2 || got != "[x time source]" {
		t.Errorf("got %d fields of columns %s", len(f), got)
	}
	c, lost := f.Read(eventbatch.Columns{Rec: rec}, false)
	if got := fmt.Sprint(c.Field("x"), lost); got != "[1980 1970 1970 1970] map[x:[2] y:[2]]" {
		t.Error(got)
	}
}

// TestDecimalNulls: a text that means null does so in every spelling of its number, in a column or not.
func TestDecimalNulls(t *testing.T) {
	t.Parallel()
	f := Fields{{Name: "f", Type: "decimal(18,2)", Nulls: []string{"-1", "NA"}}}
	stored := column("decimal(18,2)", []any{int64(-100), int64(100), nil, nil, nil})
	c, lost := f.Read(withExtra(stored, nil, nil, `{"data":{"f":-1.00}}`, `{"data":{"f":"NA"}}`,
		`{"data":{"f":"x"}}`), true)
	got := strings.Trim(fmt.Sprint(c.Field("f")), "[]")
	if want := "(null) 100 (null) (null) (null)"; got != want || !slices.Equal(lost["f"], []int{4}) {
		t.Errorf("got %s, lost %v, want %s", got, lost, want)
	}
	if values := NullValues(f[0]); !slices.Equal(values, []any{int64(-100)}) {
		t.Errorf("null values %v", values)
	}
}
