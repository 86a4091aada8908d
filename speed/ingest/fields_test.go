package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
)

// memberTypes are the members of data of fieldsEvent. Every field that reads one of them has its type.
var memberTypes = map[string]catalog.FieldType{"b": catalog.Bool, "d": "decimal(6,2)", "f": catalog.Float64,
	"i": catalog.Int64, "s": catalog.String, "t": catalog.Timestamp, "y y": catalog.Int64, "time": catalog.String,
	"a.b": catalog.String}

var nullTexts = []string{"", "NA", "5", "5.0", "true", "0.5", "2001-01-01T00:00:00Z", "-1", "é"}

// fieldsEvent generates events with members of each type inside and outside of another member.
func fieldsEvent(t *rapid.T) string {
	scalar := rapid.SampledFrom([]string{"5", "5.0", "5.5", "5.550", "12345.67", "-0", "1e400", "0.001", `"5.50"`,
		`""`, `"NA"`, `"5"`, `"\u0035.0"`, `"x"`,
		"true", `"true"`, "null", `"2001-01-01T00:00:00Z"`, `"1969-01-01T00:00:00Z"`, "[5]", `"\u00e9"`, "0.5", "-1"})
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`"b"`, `"d"`, `"f"`, `"i"`, `"s"`, `"t"`, `"y y"`,
		`"time"`,
		`"\u0069"`, `"a.b"`}), 0, 4, rapid.ID[string])
	object := func(label string) string {
		var parts []string
		for _, k := range names.Draw(t, label) {
			parts = append(parts, k+": "+scalar.Draw(t, "value"))
		}
		return strings.Join(parts, " ,")
	}
	members := []string{object("outer")}
	if rapid.Bool().Draw(t, "nested") {
		members = append(members, `"z":{`+object("inner")+`}`)
	}
	return event(`,"data":{` + strings.Trim(strings.Join(members, ","), ",") + "}")
}

// anyEventType generates an event type whose fields read those members.
func anyEventType(t *rapid.T, label string) *catalog.EventType {
	e := &catalog.EventType{Name: "all"}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"b", "d", "f", "i", "s", "t"}), 0, 6,
		rapid.ID[string]).Draw(t, label) {
		members := rapid.SampledFrom([]string{name, "b", "d", "f", "i", "s", "t", "y y", "time", "a.b"})
		f := catalog.Field{Name: name}
		last := name
		if rapid.Bool().Draw(t, "moved") {
			last = members.Draw(t, "member")
			f.Path = []string{last}
			if rapid.Bool().Draw(t, "inside") {
				f.Path = []string{"z", last}
			}
		}
		f.Type = memberTypes[last]
		f.Nulls = rapid.SliceOfNDistinct(rapid.SampledFrom(nullTexts), 0, 3, rapid.ID[string]).Draw(t, "nulls")
		e.Fields = append(e.Fields, f)
	}
	return e
}

// readAs decodes an event under one declaration and reads it under another one, as text.
func readAs(eventJSON string, came, read *catalog.EventType) (values string, hash uint64, accepted bool) {
	types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"all": came}}, nil)
	d := newDecoder(testConfig(), types, n)
	d.start([]byte(eventJSON), false, testNow)
	if d.decode() != nil {
		return "", 0, false
	}
	c := newColumns(types["all"])
	c.append(&d.row, 0)
	f := frame{tenant: text{offsets: []int32{0, 0}}}
	columns, err := eventbatch.NewColumns(f.makeRecord(&c))
	if err != nil {
		panic(err)
	}
	out, lost := conversion.Fields(read.Fields).Read(columns, false)
	for _, field := range read.Fields {
		value := "null"
		if column := out.Field(field.Name); column != nil && column.IsValid(0) {
			value = column.ValueStr(0)
			if !isOfType(column, field.Type) {
				value = "another type"
			}
		}
		values += fmt.Sprintf("%s=%s %v\n", field.Name, value, lost[field.Name])
	}
	return values, d.row.hash, true
}

func isOfType(column any, t catalog.FieldType) bool {
	switch column := column.(type) {
	case *array.Boolean:
		return t == catalog.Bool
	case *array.Float64:
		return t == catalog.Float64
	case *array.Int64:
		return column.DataType().String() == string(t)
	case *array.Timestamp:
		return t == catalog.Timestamp
	}
	return t == catalog.String
}

// TestFieldsDoNotDependOnWhenTheyWereDeclared: where the value of a field stands and what means null go for every
// event, whatever was declared when it came (I7). One that came before anything was declared has all that was sent.
func TestFieldsDoNotDependOnWhenTheyWereDeclared(t *testing.T) {
	t.Parallel()
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		event := fieldsEvent(t)
		read := anyEventType(t, "read")
		want, hash, ok := readAs(event, &catalog.EventType{Name: "all"}, read)
		if !ok {
			return
		}
		for i := range 10 {
			came := read
			if i > 0 {
				came = anyEventType(t, "came")
			}
			got, other, ok := readAs(event, came, read)
			if !ok {
				continue
			}
			if got != want || other != hash {
				t.Fatalf("%s\ncame %+v\nread %+v\ngot\n%swant\n%shashes %d and %d", event, came.Fields, read.Fields,
					got, want, other, hash)
			}
			found++
		}
	})
	if found == 0 {
		t.Error("no event was accepted by two declarations")
	}
}

// TestNullValuesAreNotRejected: a text that means null is accepted in a field of any type.
func TestNullValuesAreNotRejected(t *testing.T) {
	t.Parallel()
	declared := func(nulls ...string) *catalog.EventType {
		e := &catalog.EventType{Name: "all"}
		for _, name := range []string{"b", "d", "f", "i", "s", "t"} {
			e.Fields = append(e.Fields, catalog.Field{Name: name, Type: memberTypes[name], Nulls: nulls})
		}
		return e
	}
	const all = "b=null []\nd=null []\nf=null []\ni=null []\ns=null []\nt=null []\n"
	for value, nulls := range map[string][]string{`"NA"`: {"", "NA"}, `""`: {"", "NA"}, `"\u004eA"`: {"NA"},
		"5.5": {"5.5"}, "null": nil} {
		sent := event(fmt.Sprintf(`,"data":{"b":%s,"d":%[1]s,"f":%[1]s,"i":%[1]s,"s":%[1]s,"t":%[1]s}`, value))
		if got, _, ok := readAs(sent, declared(nulls...), declared(nulls...)); !ok || got != all {
			t.Errorf("%s: accepted %t, got %s", value, ok, got)
		}
		if _, _, ok := readAs(sent, declared("N/A"), declared("N/A")); ok != (value == "null") {
			t.Errorf("%s: accepted %t without its text", value, ok)
		}
	}
}

// TestRenamedMembersAreChecked: a member that becomes a column is checked under its own name.
func TestRenamedMembersAreChecked(t *testing.T) {
	t.Parallel()
	types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"all": {Name: "all",
		Fields: []catalog.Field{{Name: "user", Type: catalog.Int64, Path: []string{"user_id"}},
			{Name: "zip", Type: catalog.Int64, Path: []string{"address", "zip"}}}}}}, nil)
	d := newDecoder(testConfig(), types, n)
	for sent, want := range map[string]string{`"user_id":"x"`: `data.user_id: "\"x\"" is not int64`,
		`"user":"x"`: "", `"address":{"zip":"x"}`: ""} {
		d.start([]byte(event(`,"data":{`+sent+`}`)), false, testNow)
		got := ""
		if refused := d.decode(); refused != nil {
			got = refused.message
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", sent, got, want)
		}
	}
}
