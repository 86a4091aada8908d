package declaration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
)

// randomCatalog declares types and views from the corners of what is allowed.
func randomCatalog(t *rapid.T) *catalog.Catalog {
	name := rapid.StringMatching(`[A-Za-z][A-Za-z0-9]{0,8}`)
	c := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{}, Views: map[string]*catalog.View{}}
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"hit", "404", "no", "null", "~", "a.b-c_d"}),
		1, 3, rapid.ID).Draw(t, "types") {
		if n == "~" {
			n = "0x10" // It reads as a number, like 404.
		}
		e := &catalog.EventType{Name: n}
		for _, f := range rapid.SliceOfNDistinct(name, 0, 6, rapid.ID[string]).Draw(t, "fields") {
			if catalog.FieldName(f) {
				e.Fields = append(e.Fields, randomField(t, f))
			}
		}
		slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
		coerceSome(t, e)
		c.Events[n] = e
	}
	c.Events[deadletter.Type] = deadletter.EventType()
	for i := range rapid.IntRange(0, 3).Draw(t, "views") {
		v := randomView(t, c, fmt.Sprint("v", i))
		c.Views[v.Name] = v
	}
	return c
}

// coerceSome lets some of the fields that may have coerce have it.
func coerceSome(t *rapid.T, e *catalog.EventType) {
	for i, f := range e.Fields {
		for _, s := range e.Stored().Fields {
			if s.Name == f.Column() && (s.Type == catalog.String || s.Type.IsNumber()) {
				e.Fields[i].Coerce = rapid.Bool().Draw(t, "coerce")
			}
		}
	}
}

func randomField(t *rapid.T, name string) catalog.Field {
	texts := rapid.SampledFrom([]string{"", "null", "~", "-1", "5.0", "true", "a.b", `a"b`, "data", "é",
		"NA", "2001-01-01"})
	f := catalog.Field{Name: name, Type: rapid.SampledFrom(append(slices.Clone(catalog.FieldTypes),
		"decimal(18,2)", "decimal(3,3)")).Draw(t, "type")}
	if f.Type == catalog.Int64 && rapid.Bool().Draw(t, "computed") {
		f.Expression = rapid.SampledFrom([]string{"1", "hour(time)", " - 5 + 0", "if(source='a: #',1,2)"}).Draw(t,
			"expression")
		return f
	}
	if rapid.Bool().Draw(t, "moved") {
		f.Path = rapid.SliceOfN(texts.Filter(func(s string) bool { return s != "" }), 1, 3).Draw(t, "path")
	}
	if rapid.Bool().Draw(t, "nulls") {
		f.Nulls = rapid.SliceOfNDistinct(texts, 1, 3, rapid.ID[string]).Draw(t, "nulls")
		slices.Sort(f.Nulls)
	}
	return f
}

// TestMissingTexts: what YAML reads as null is neither taken for an empty text nor left out. In quotes it is a text.
func TestMissingTexts(t *testing.T) {
	t.Parallel()
	for form, place := range map[string]string{
		"{f: {type: string, null_values: [NA, NULL]}}":                        "events.hit.fields.f.null_values.1",
		"{f: {type: string, null_values: [~]}}":                               "events.hit.fields.f.null_values.0",
		"{f: {type: string, path: [a, null]}}":                                "events.hit.fields.f.path.1",
		"{null: string}":                                                      "events.hit.fields",
		"{f: {type: string, null_values: ['NULL', \"~\"]}, \"null\": string}": "",
	} {
		n, err := ParseYAML([]byte("fields: " + form))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = ReadEventType("hit", n); (err == nil) != (place == "") || err != nil &&
			!strings.Contains(err.Error(), place+": ") {
			t.Errorf("%s: got %v, want a mistake at %q", form, err, place)
		}
	}
	n, err := ParseJSON([]byte(`{"fields":{"f":{"type":"string","null_values":[null]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadEventType("hit", n); err == nil {
		t.Error("null in JSON was taken for a text")
	}
}

// TestFieldForms: a path and a list of texts in several forms are the same field.
func TestFieldForms(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]catalog.Field{
		"int64":                                 {Name: "f", Type: "int64"},
		"{type: int64, path: f}":                {Name: "f", Type: "int64"},
		"{type: int64, path: data.f}":           {Name: "f", Type: "int64"},
		"{type: int64, path: [f]}":              {Name: "f", Type: "int64"},
		"{type: int64, path: user.id}":          {Name: "f", Type: "int64", Path: []string{"user", "id"}},
		"{type: int64, path: [user.id]}":        {Name: "f", Type: "int64", Path: []string{"user.id"}},
		"{type: int64, null_values: [b, a, b]}": {Name: "f", Type: "int64", Nulls: []string{"a", "b"}},
		"{type: int64, null_values: [-1, '']}":  {Name: "f", Type: "int64", Nulls: []string{"", "-1"}},
	} {
		n, err := ParseYAML([]byte("fields: {f: " + form + "}"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := ReadEventType("e", n)
		if err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if d := cmp.Diff(want, e.Fields[0]); d != "" {
			t.Errorf("%s: %s", form, d)
		}
	}
	for form, want := range map[string]string{
		"{path: '\"a'}":       "events.e.fields.f.path: path: \"\\\"a\" has a quote",
		"{path: {a: b}}":      "events.e.fields.f.path: write a list",
		"{null_values: NA}":   "events.e.fields.f.null_values: write a list",
		"{null_values: [{}]}": "events.e.fields.f.null_values.0: write one word",
		"{paths: a}":          "events.e.fields.f.paths: unknown key",
	} {
		n, err := ParseYAML([]byte("fields: {f: " + form + "}"))
		if err == nil {
			_, err = ReadEventType("e", n)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", form, err, want)
		}
	}
}

func randomView(t *rapid.T, c *catalog.Catalog, name string) *catalog.View {
	e := c.Events[rapid.SampledFrom(slices.Sorted(maps.Keys(c.Events))).Draw(t, "event")]
	v := &catalog.View{Name: name, Event: e.Name,
		Cell:     rapid.SampledFrom([]time.Duration{time.Second, 90 * time.Second, time.Hour}).Draw(t, "cell"),
		Measures: []catalog.Measure{{Name: "a_n", Kind: catalog.Count}}}
	columns := append([]catalog.Field{{Name: "subject", Type: catalog.String}}, e.Fields...)
	for _, f := range columns {
		if rapid.Bool().Draw(t, "filter") {
			v.Where = append(v.Where, randomFilter(t, f))
		}
		switch {
		case slices.Contains([]string{"tenant", "live", "bounds"}, f.Name):
		case !slices.Contains([]catalog.FieldType{catalog.Float64, catalog.Timestamp}, f.Type) && !f.Type.IsDecimal() &&
			rapid.Bool().Draw(t, "dimension"):
			v.Dimensions = append(v.Dimensions, f.Name)
		default:
			v.Measures = append(v.Measures, catalog.Measure{Name: f.Name, Kind: catalog.Distinct, Field: f.Name})
		}
	}
	slices.SortFunc(v.Measures, func(a, b catalog.Measure) int { return strings.Compare(a.Name, b.Name) })
	return v
}

func randomFilter(t *rapid.T, f catalog.Field) catalog.Filter {
	op := rapid.SampledFrom([]catalog.FilterOp{catalog.Eq, catalog.In, catalog.Exists}).Draw(t, "op")
	values := map[catalog.FieldType]*rapid.Generator[any]{
		catalog.String: rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "true", "7", "2001-01-01",
			"\u0000", "<&>", "a\n b\t", "~", "é", "- x", "\u2028", "\ufeff", "\U0001f600"})).AsAny(),
		catalog.Int64: rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, math.MaxInt64, math.MinInt64})).AsAny(),
		catalog.Float64: rapid.OneOf(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64),
			rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 5, 1e15, 9.3e18, 1e20, 1e300, 5e-324})).AsAny(),
		catalog.Bool:      rapid.Bool().AsAny(),
		catalog.Timestamp: rapid.Int64Range(0, 9_000_000_000_000_000).AsAny(),
		"decimal(18,2)":   rapid.Int64Range(-999_999_999_999_999_999, 999_999_999_999_999_999).AsAny(),
		"decimal(3,3)":    rapid.Int64Range(-999, 999).AsAny(),
	}[f.Type]
	switch op {
	case catalog.Exists:
		values = rapid.Bool().AsAny()
	case catalog.In:
		return catalog.Filter{Field: f.Name, Op: op, Values: rapid.SliceOfN(values, 1, 3).Draw(t, "values")}
	}
	return catalog.Filter{Field: f.Name, Op: op, Values: []any{values.Draw(t, "value")}}
}

// TestRoundTrip writes catalogs as JSON and as YAML and reads them back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := randomCatalog(t)
		form := OfCatalog(want)
		text, err := yaml.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		for language, parse := range map[string]func() (*yaml.Node, error){
			"JSON": func() (*yaml.Node, error) { return ParseJSON(JSON(form)) },
			"YAML": func() (*yaml.Node, error) { return ParseYAML(text) },
		} {
			n, err := parse()
			if err != nil {
				t.Fatalf("%s: %v\n%s\n%s", language, err, JSON(form), text)
			}
			got, err := ReadCatalog(time.Hour, n)
			if err != nil {
				t.Fatalf("%s: %v\n%s\n%s", language, err, JSON(form), text)
			}
			if d := cmp.Diff(want, got, cmp.Comparer(sameFloat)); d != "" {
				t.Fatalf("%s: %s\n%s\n%s", language, d, JSON(form), text)
			}
			if tag := Tag(OfCatalog(got)); tag != Tag(form) {
				t.Fatalf("%s: the tag %s has become %s", language, Tag(form), tag)
			}
		}
	})
}

// sameFloat tells -0 from 0, because the digest of a view does too.
func sameFloat(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// TestMistakes: a mistake in the form is named with its place, in both languages.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`[]`:                                 "views.v: write keys with values",
		`{"evnt":"hit"}`:                     "views.v.evnt: unknown key",
		`{"event":["hit"]}`:                  "views.v.event: write one word",
		`{"event":{"hit":1}}`:                "views.v.event: write one word",
		`{"dimensions":"page"}`:              "views.v.dimensions: write a list",
		`{"dimensions":[["page"]]}`:          "views.v.dimensions.0: write one word",
		`{"cell":"soon"}`:                    "views.v.cell: \"soon\" is not a duration",
		`{"cell":60}`:                        "views.v.cell: \"60\" is not a duration",
		`{"where":[{"felid":"x"}]}`:          "views.v.where.0.felid: unknown key",
		`{"where":[{"value":[1]}]}`:          "views.v.where.0.value: write one value",
		`{"where":[{"values":1}]}`:           "views.v.where.0.values: write a list",
		`{"measures":{"n":"count"}}`:         "views.v.measures.n: write keys with values",
		`{"measures":{"n":{}}}`:              "views.v.measures.n: a measure is one of",
		`{"measures":{"n":{"sum":["a"]}}}`:   "views.v.measures.n: write the name of a field after sum",
		`{"measures":{"n":{"sum":{"a":1}}}}`: "views.v.measures.n: write the name of a field after sum",
		`{"event":"a","event":"b"}`:          "views.v.event: the key comes twice",
	} {
		for language, parse := range map[string]func([]byte) (*yaml.Node, error){"JSON": ParseJSON, "YAML": ParseYAML} {
			n, err := parse([]byte(body))
			if err == nil {
				_, err = ReadView("v", n)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got %v, want %q", language, body, err, want)
			}
		}
	}
	for _, value := range []string{`"yes"`, `"on"`, `"y"`, `"no"`, `"true"`, `""`, "1", "[]", "{}"} {
		body := []byte(`{"fields":{"f":{"type":"int64","coerce":` + value + `}}}`)
		for language, parse := range map[string]func([]byte) (*yaml.Node, error){"JSON": ParseJSON, "YAML": ParseYAML} {
			n, err := parse(body)
			if err == nil {
				_, err = ReadEventType("e", n)
			}
			if err == nil || err.Error() != "events.e.fields.f.coerce: write true or false" {
				t.Errorf("%s %s: got %v", language, body, err)
			}
		}
	}
	for body, want := range map[string]string{
		``: "ends too early", `{`: "ends too early", `{"fields":`: "ends too early", `{} {}`: "more than one",
		`{"a":}`: "invalid character", "\xff": "UTF-8", `"\ud800"`: "surrogate",
		strings.Repeat("[", 1000): "nested too deeply",
	} {
		if _, err := ParseJSON([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
	for body, want := range map[string]string{"": "empty", "# nothing\n": "empty",
		"a: 1\n---\nb: 1\n": "second document", "a: [": "line"} {
		if _, err := ParseYAML([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

// TestDecimalForms: a decimal is declared with or without spaces, and compared with the number that is written.
func TestDecimalForms(t *testing.T) {
	t.Parallel()
	read := func(fields, value string) (*catalog.Catalog, error) {
		n, err := ParseYAML([]byte("events:\n  e:\n    fields:\n" + fields + "\nviews:\n  v:\n    event: e\n" +
			"    measures: {n: {count: {}}}\n    where: [{field: f, op: ge, value: " + value + "}]\n"))
		if err != nil {
			return nil, err
		}
		return ReadCatalog(time.Hour, n)
	}
	for _, fields := range []string{"      f: decimal(18,2)", "      f: decimal( 18, 2 )", `      {f: "decimal(18,2)"}`,
		"      f: {type: 'decimal(18, 2)', path: f}"} {
		for value, want := range map[string]int64{"12.34": 1234, `"12.34"`: 1234, "1234e-2": 1234, "12": 1200,
			"-0.5":                -50,
			"9999999999999999.99": 999_999_999_999_999_999, `"-0"`: 0} {
			c, err := read(fields, value)
			if err != nil {
				t.Errorf("%s, %s: %v", fields, value, err)
				continue
			}
			if e := c.Events["e"]; e.Fields[0].Type != "decimal(18,2)" || c.Views["v"].Where[0].Values[0] != want {
				t.Errorf("%s, %s: got %+v, %+v", fields, value, e.Fields[0], c.Views["v"].Where[0])
			}
		}
	}
	for value, want := range map[string]string{"12.345": "more digits after the point",
		"1e30": "digits before the point",
		"true": `true is not decimal(18,2); write it in quotes`, ".inf": "in quotes", "12_3.4": "in quotes",
		`" 1"`: "it is no number"} {
		if _, err := read("      f: decimal(18,2)", value); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "views.v.where.0") {
			t.Errorf("%s: got %v, want %q", value, err, want)
		}
	}
	for fields, want := range map[string]string{"      f: decimal(19,2)": "1 to 18 digits",
		"      f: decimal":         "1 to 18",
		"      {f: decimal(18,2)}": "write it in quotes", "      f: decimal(2,3)": "0 to all follow the point",
		"      f: {type: 'decimal(2,1)', expression: '1'}":                "it is int64",
		"      f: decimal(2,1)\n      g: {type: bool, expression: f > 1}": "no exact arithmetic"} {
		if _, err := read(fields, "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", fields, err, want)
		}
	}
}

// TestMerges reads what YAML repeats by its name.
func TestMerges(t *testing.T) {
	t.Parallel()
	n, err := ParseYAML([]byte(`
events: {hit: {fields: {page: &text string, user: *text, ms: {type: int64}}}}
views:
  pages: &pages {event: hit, dimensions: &d [page], measures: &m {hits: {count: {}}}}
  users: {<<: *pages, cell: 1h, dimensions: *d, measures: {<<: *m, users: {distinct: user}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadCatalog(time.Hour, n)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"hit","dimensions":["page"],"cell":"1h",` +
		`"measures":{"hits":{"count":{}},"users":{"distinct":"user"}}}`
	if got := string(JSON(OfView(c, c.Views["users"]))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	bomb := "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	if n, err = ParseYAML([]byte(bomb + "where: *i\n")); err == nil {
		_, err = ReadView("v", n)
	}
	if err == nil {
		t.Error("a document that grows without bound was accepted")
	}
}

// FuzzDeclaration reads any bytes as a configuration. What is accepted is written and read back the same.
func FuzzDeclaration(f *testing.F) {
	f.Add([]byte(`{"events":{"hit":{"fields":{"page":"string","ms":{"type":"int64"}}}},"views":{"v":{"event":"hit",`+
		`"where":[{"field":"ms","op":"in","values":[1,2]}],"measures":{"n":{"count":{}}}}}}`), true)
	f.Add([]byte("events: {hit: {fields: {at: timestamp}}}\nviews: {v: {event: hit, where: [{field: at, op: lt, "+
		"value: 2001-01-01}], measures: {n: {count: {}}}}}\n"), false)
	f.Add([]byte("events: &a {hit: *a}\n"), false)
	f.Fuzz(func(t *testing.T, raw []byte, isJSON bool) {
		parse := ParseYAML
		if isJSON {
			parse = ParseJSON
		}
		n, err := parse(raw)
		if err != nil {
			return
		}
		c, err := ReadCatalog(time.Hour, n)
		if err != nil {
			return
		}
		again, err := ParseJSON(JSON(OfCatalog(c)))
		if err != nil {
			t.Fatal(err)
		}
		same, err := ReadCatalog(time.Hour, again)
		if err != nil {
			t.Fatalf("%s: %v", JSON(OfCatalog(c)), err)
		}
		if d := cmp.Diff(c, same, cmp.Comparer(sameFloat)); d != "" {
			t.Fatal(d)
		}
	})
}

// TestFieldEffects says what a change does to a field. A field that is read otherwise is still declared.
func TestFieldEffects(t *testing.T) {
	t.Parallel()
	before := []catalog.Field{{Name: "y", Type: catalog.Int64, Path: []string{"x", "y"}},
		{Name: "z", Type: catalog.Int64}}
	for want, after := range map[string][]catalog.Field{
		"": before,
		"fields.z: values that have to be converted to int64 are accepted": {before[0],
			{Name: "z", Type: catalog.Int64, Coerce: true}},
		"fields.y: it is read otherwise": {{Name: "y", Type: catalog.String, Path: []string{"x", "y"}}, before[1]},
		"fields.z: it is read otherwise": {before[0],
			{Name: "z", Type: catalog.Int64, Nulls: []string{"NA"}}},
		"fields.y: stored as int64 and no longer declared":  {before[1]},
		"fields.z: stored as int64 and declared as float64": {before[0], {Name: "z", Type: catalog.Float64}},
	} {
		got := strings.Join(eventTypeEffects("e", &catalog.EventType{Name: "e", Fields: before},
			&catalog.EventType{Name: "e", Fields: after}), "\n")
		if !strings.HasPrefix(got, want) || want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestViewWithoutItsType: what a file declared last may be without the event type or the field of a view by now (G2).
func TestViewWithoutItsType(t *testing.T) {
	t.Parallel()
	v := &catalog.View{Name: "w", Event: "order", Cell: time.Minute, Where: []catalog.Filter{
		{Field: "price", Op: catalog.Ge, Values: []any{json.Number("12.5")}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	const want = `{"event":"order","cell":"1m","where":[{"field":"price","op":"ge","value":12.5}],` +
		`"measures":{"n":{"count":{}}}}`
	for _, events := range []map[string]*catalog.EventType{nil, {"order": {Name: "order"}}} {
		if got := string(JSON(OfView(&catalog.Catalog{Events: events}, v))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
