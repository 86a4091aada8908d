package ingest

import (
	"fmt"
	"slices"
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

var nullTexts = []string{"", "NA", "5", "5.0", "true", "0.5", "2001-01-01T00:00:00Z", "-1", "é", "1e400"}

// fieldsEvent generates events with members of each type inside and outside of another member.
func fieldsEvent(t *rapid.T) string {
	scalar := rapid.SampledFrom([]string{"5", "5.0", "5.5", "5.550", "12345.67", "-0", "1e400", "0.001", `"5.50"`,
		`""`, `"NA"`, `"5"`, `"\u0035.0"`, `"x"`, `"1e3"`, "1e3", `"0e99999999999"`, `"-0.0"`, "0.1234567890123456789",
		`"05"`, `" 5"`, "5e-7",
		"0e99999", `"0e1001"`, "5." + strings.Repeat("0", 63), "5" + strings.Repeat("0", 64) + "e-64",
		"0." + strings.Repeat("0", 80) + "5e81", `"-5.` + strings.Repeat("0", 63) + `"`,
		"1e21", `"12345678901234567890"`, "12345678901234567890", `"5.0000000000000000000000"`,
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
		f.Coerce = f.Column() != "" && (f.Type == catalog.String || f.Type.IsNumber()) && rapid.Bool().Draw(t, "coerce")
		f.Nulls = rapid.SliceOfNDistinct(rapid.SampledFrom(nullTexts), 0, 3, rapid.ID[string]).Draw(t, "nulls")
		e.Fields = append(e.Fields, f)
	}
	return e
}

// decodeUnder decodes an event under a declaration into columns, or returns why it is refused.
func decodeUnder(eventJSON string, came *catalog.EventType) (columns eventbatch.Columns, hash uint64,
	refused *rejection) {
	types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"all": came}}, nil)
	d := newDecoder(testConfig(), types, n)
	d.start([]byte(eventJSON), false, testNow)
	if refused = d.decode(); refused != nil {
		return columns, 0, refused
	}
	c := newColumns(types["all"])
	c.append(&d.row, 0)
	f := frame{tenant: text{offsets: []int32{0, 0}}}
	columns, err := eventbatch.NewColumns(f.makeRecord(&c))
	if err != nil {
		panic(err)
	}
	return columns, d.row.hash, nil
}

// readAs decodes an event under one declaration and reads it under another one, as text.
func readAs(eventJSON string, came, read *catalog.EventType) (values string, hash uint64, accepted bool) {
	columns, hash, refused := decodeUnder(eventJSON, came)
	if refused != nil {
		return "", 0, false
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
	return values, hash, true
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
		"5.5": {"5.5"}, "1e400": {"1e400"}, "-1e400": {"1", "-1e400"}, "true": {"true"}, "null": nil} {
		sent := event(fmt.Sprintf(`,"data":{"b":%s,"d":%[1]s,"f":%[1]s,"i":%[1]s,"s":%[1]s,"t":%[1]s}`, value))
		if got, _, ok := readAs(sent, declared(nulls...), declared(nulls...)); !ok || got != all {
			t.Errorf("%s: accepted %t, got %s", value, ok, got)
		}
		if _, _, ok := readAs(sent, declared("N/A"), declared("N/A")); ok != (value == "null") {
			t.Errorf("%s: accepted %t without its text", value, ok)
		}
	}
}

// TestMembersAreChecked: a member that fields read is checked under its own name, wherever it stands in data.
func TestMembersAreChecked(t *testing.T) {
	t.Parallel()
	declared := &catalog.EventType{Name: "all", Fields: []catalog.Field{
		{Name: "user", Type: catalog.Int64, Path: []string{"user_id"}},
		{Name: "zip", Type: catalog.Int64, Path: []string{"address", "zip"}, Nulls: []string{"NA"}},
		{Name: "since", Type: catalog.Timestamp, Path: []string{"address", "since"}},
		{Name: "price", Type: "decimal(6,2)", Path: []string{"unit price"}},
		{Name: "paid", Type: catalog.Bool, Path: []string{"ref", "paid"}},
		{Name: "ref", Type: catalog.String, Path: []string{"ref", "id"}},
		{Name: "code", Type: catalog.Int64, Path: []string{"a.code"}},
		{Name: "code_text", Type: catalog.String, Path: []string{"a.code"}},
		{Name: "both", Type: catalog.Int64, Path: []string{"z", "both"}},
		{Name: "inside", Type: catalog.Int64, Path: []string{"z", "both", "inside"}},
	}}
	for sent, want := range map[string]string{
		`"user_id":"x"`:               `data.user_id: the text "x" is not int64`,
		`"user":"x"`:                  "",
		`"address":{"zip":"x"}`:       `data.address.zip: the text "x" is not int64, the type of the field zip`,
		`"address":{"a":1,"zip":5.5}`: `data.address.zip: 5.5 is not int64, the type of the field zip`,
		`"address":{"zip":1e30}`:      `data.address.zip: 1e30 is not int64, the type of the field zip`,
		`"address":{"zip":true}`:      `data.address.zip: true is not int64, the type of the field zip`,
		`"address":{"zip":[1]}`:       `data.address.zip: the array [1] is not int64, the type of the field zip`,
		`"address":{"zip":{"a":1}}`:   `data.address.zip: the object {"a":1} is not int64, the type of the field zip`,
		`"address":{"\u007aip":"x"}`:  `data.address.zip: the text "x" is not int64, the type of the field zip`,
		`"address":{"zip":12345678901234567890}`: `data.address.zip: 12345678901234567890 does not fit int64, ` +
			`the type of the field zip`,
		`"address":{"zip":"N/A"}`: `data.address.zip: the text "N/A" is not int64, the type of the field zip: if it ` +
			`means that the value is missing, add it to null_values of the field, and then run recount dead-letters ` +
			`replay`,
		`"address":{"zip":1,"zip":1}`:                `the key "zip" appears twice in one object`,
		`"address":{"zip":"NA"}`:                     "",
		`"address":{"zip":"7"}`:                      "", // It is converted.
		`"address":{"zip":7.0}`:                      "",
		`"address":{"zip":null}`:                     "",
		`"address":{}`:                               "",
		`"address":"none"`:                           "", // It has no zip.
		`"address":[{"zip":"x"}]`:                    "",
		`"address":{"since":"2001-01-01T00:00:00Z"}`: "",
		`"address":{"since":"1815-01-01T00:00:00Z"}`: `data.address.since: the text "1815-01-01T00:00:00Z" is not ` +
			`timestamp, the type of the field since`,
		`"address":{"since":7}`:       `data.address.since: 7 is not timestamp, the type of the field since`,
		`"unit price":5.555`:          `data.unit price: 5.555 does not fit decimal(6,2), the type of the field price`,
		`"unit price":"x"`:            `data.unit price: the text "x" is not decimal(6,2), the type of the field price`,
		`"unit price":5.5`:            "",
		`"unit price":"5.5"`:          "",
		`"ref":{"paid":1}`:            `data.ref.paid: 1 is not bool, the type of the field paid`,
		`"ref":{"id":7}`:              "",
		`"ref":{"id":[7]}`:            `data.ref.id: the array [7] is not string, the type of the field ref`,
		`"a.code":"x"`:                "", // One of the fields can hold it.
		`"a.code":[1]`:                `data."a.code": the array [1] is not int64, the type of the field code`,
		`"z":{"both":"x"}`:            `data.z.both: the text "x" is not int64, the type of the field both`,
		`"z":{"both":{"inside":1}}`:   "", // The other field reads what is inside.
		`"z":{"both":{"inside":"x"}}`: `data.z.both.inside: the text "x" is not int64, the type of the field inside`,
	} {
		got := ""
		if _, _, refused := decodeUnder(event(`,"data":{`+sent+`}`), declared); refused != nil {
			got = refused.message
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", sent, got, want)
		}
	}
}

// TestPlacesAgainstConversion: an event is refused exactly if what readers would make of it lacks a value that was
// sent, because no field at its place can hold it. So what is accepted under a declaration is whole under it (I7).
func TestPlacesAgainstConversion(t *testing.T) {
	t.Parallel()
	verdicts := map[bool]int{}
	check := func(t *rapid.T) {
		event := fieldsEvent(t)
		read := anyEventType(t, "read")
		read.Fields = slices.DeleteFunc(read.Fields, func(f catalog.Field) bool { return f.Column() != "" })
		columns, _, refused := decodeUnder(event, &catalog.EventType{Name: "all"})
		if refused != nil {
			return
		}
		_, lost := conversion.Fields(read.Fields).Read(columns, false)
		readers := map[string]int{}
		losers := map[string]int{}
		for _, f := range read.Fields {
			place := catalog.PathText(f.Members())
			readers[place]++
			losers[place] += len(lost[f.Name])
		}
		want := false
		for place, n := range readers {
			want = want || losers[place] == n
		}
		_, _, refused = decodeUnder(event, read)
		if got := refused != nil; got != want {
			t.Fatalf("%s\nread as %+v\nrefused: %v, want %t, lost %v", event, read.Fields, refused, want, lost)
		}
		verdicts[want]++
	}
	for round := 0; round < 20 && (verdicts[true] == 0 || verdicts[false] == 0); round++ { // Refusals are rare.
		rapid.Check(t, check)
	}
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Errorf("events were refused: %v", verdicts)
	}
}
