package ingest

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/problem"
)

// coercing declares a field of each type that can have coerce.
func coercing() *catalog.EventType {
	return &catalog.EventType{Name: "all", Fields: []catalog.Field{
		{Name: "d", Type: "decimal(6,2)", Coerce: true}, {Name: "f", Type: catalog.Float64, Coerce: true},
		{Name: "i", Type: catalog.Int64, Coerce: true}, {Name: "s", Type: catalog.String, Coerce: true}}}
}

// coercedValue decodes a value of a field and returns what readers make of it, as text.
func coercedValue(t interface{ Fatalf(string, ...any) }, declared *catalog.EventType, name, value string) (string,
	*rejection) {
	columns, _, refused := decodeUnder(event(`,"data":{"`+name+`":`+value+`}`), declared)
	if refused != nil {
		return "", refused
	}
	out, lost := conversion.Fields(declared.Fields).Read(columns, false)
	if len(lost) > 0 {
		t.Fatalf("%s: %s: readers lose the value", name, value)
	}
	return out.Field(name).ValueStr(0), nil
}

// TestCoerce: texts that spell numbers as JSON does are numbers, and numbers are the texts that readers spell.
func TestCoerce(t *testing.T) {
	t.Parallel()
	const invalid, large = problem.InvalidField, problem.NumberOutOfRange
	for _, c := range []struct {
		field, value, want string
		code               problem.Code
	}{
		{"i", `"12"`, "12", ""}, {"i", `"-3"`, "-3", ""}, {"i", `"5.0"`, "5", ""}, {"i", `"1e3"`, "1000", ""},
		{"i", `"\u0031"`, "1", ""}, {"f", `"1.50"`, "1.5", ""}, {"f", `"1e3"`, "1000", ""}, {"d", `"1.5"`, "150", ""},
		{"s", "12", "12", ""}, {"s", "-3", "-3", ""}, {"s", "1.50", "1.5", ""}, {"s", "1e3", "1000", ""},
		{"s", "0.000001", "0.000001", ""}, {"s", "-0", "0", ""}, {"s", "123456789012345678", "123456789012345678", ""},
		{"s", `"1.50"`, "1.50", ""}, {"i", `"0e99999"`, "0", ""}, {"i", `"-0e-1001"`, "0", ""},
		{"i", `"1.` + strings.Repeat("0", 63) + `"`, "1", ""}, {"i", `"1e1001"`, "", large},
		{"i", `"1.` + strings.Repeat("0", 64) + `"`, "", large}, {"s", "0e99999", "0", ""},
		{"i", `""`, "", invalid}, {"i", `"abc"`, "", invalid}, {"i", `"0x1"`, "", invalid}, {"i", `"NaN"`, "", invalid},
		{"i", `" 1"`, "", invalid}, {"i", `"1 "`, "", invalid}, {"i", `"+1"`, "", invalid}, {"i", `"01"`, "", invalid},
		{"i", `"1.5"`, "", invalid}, {"i", "true", "", invalid}, {"i", "{}", "", invalid},
		{"i", `"9223372036854775808"`, "", large}, {"f", `"Infinity"`, "", invalid}, {"f", `"1e400"`, "", large},
		{"f", `""`, "", invalid}, {"d", `"1.234"`, "", large}, {"d", `"x"`, "", invalid}, {"s", "true", "", invalid},
		{"s", "[1]", "", invalid}, {"s", "0.1234567890123456789", "", large}, {"s", "12345678901234567891", "", large},
	} {
		got, refused := coercedValue(t, coercing(), c.field, c.value)
		switch {
		case refused == nil && (c.code != "" || got != c.want):
			t.Errorf("%s: %s: got %s, want %s%s", c.field, c.value, got, c.want, c.code)
		case refused != nil && (refused.code != c.code || !strings.HasPrefix(refused.message, "data."+c.field+": ")):
			t.Errorf("%s: %s: got %+v, want %q", c.field, c.value, refused, c.code)
		}
	}
}

// TestCoerceIsProposed: a rejection names coerce if the field would take the value with it.
func TestCoerceIsProposed(t *testing.T) {
	t.Parallel()
	e := &catalog.EventType{Name: "all", Fields: []catalog.Field{{Name: "b", Type: catalog.Bool},
		{Name: "f", Type: catalog.Float64}, {Name: "i", Type: catalog.Int64}, {Name: "s", Type: catalog.String}}}
	for data, want := range map[string]string{
		`"i":"12"`:   `data.i: the text "12" is not int64; declare coerce for the field, or send a number`,
		`"f":"1.5"`:  `data.f: the text "1.5" is not float64; declare coerce for the field, or send a number`,
		`"s":7`:      `data.s: 7 is not string; declare coerce for the field, or send a text`,
		`"i":"1.5"`:  `data.i: the text "1.5" is not int64`,
		`"i":"x"`:    `data.i: the text "x" is not int64`,
		`"s":true`:   `data.s: true is not string`,
		`"b":"true"`: `data.b: the text "true" is not bool`,
	} {
		if _, _, refused := decodeUnder(event(`,"data":{`+data+`}`), e); refused == nil || refused.message != want {
			t.Errorf("%s: got %+v, want %s", data, refused, want)
		}
	}
}

// TestCoerceAgainstNaive compares numbers in texts, and texts of numbers, with exact arithmetic.
func TestCoerceAgainstNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`),
			rapid.StringMatching(`[-+0-9.eE x]{0,6}`)).Draw(t, "number")
		exact, isNumber := new(big.Rat).SetString(number)
		isNumber = isNumber && json.Valid([]byte(number)) && number[0] != ' ' && number[len(number)-1] != ' '

		got, refused := coercedValue(t, coercing(), "i", strconv.Quote(number))
		want := isNumber && exact.IsInt() && exact.Num().IsInt64()
		if (refused == nil) != want || want && got != exact.Num().String() {
			t.Fatalf("int64 of %q: got %s, %+v", number, got, refused)
		}
		got, refused = coercedValue(t, coercing(), "f", strconv.Quote(number))
		nearest, err := strconv.ParseFloat(number, 64)
		want = isNumber && err == nil
		if back, _ := strconv.ParseFloat(got, 64); (refused == nil) != want || want && back != nearest {
			t.Fatalf("float64 of %q: got %s, %+v, want %v", number, got, refused, nearest)
		}
		if !isNumber {
			return
		}
		got, refused = coercedValue(t, coercing(), "s", number)
		back, _ := new(big.Rat).SetString(got)
		if refused == nil && (back.Cmp(exact) != 0 || !json.Valid([]byte(got))) {
			t.Fatalf("string of %s: got %s", number, got)
		}
		shortest, _ := json.Marshal(nearest)
		digits, _ := new(big.Rat).SetString(string(shortest))
		lossless := exact.IsInt() && exact.Num().IsInt64() || err == nil && digits.Cmp(exact) == 0
		if (refused == nil) != lossless {
			t.Fatalf("string of %s: got %+v, lossless %t", number, refused, lossless)
		}
	})
}

// TestCoercedEventsAreTheSameEvents: the hash is that of the value as it was sent, whatever is declared.
func TestCoercedEventsAreTheSameEvents(t *testing.T) {
	t.Parallel()
	plain := &catalog.EventType{Name: "all"}
	for _, f := range coercing().Fields {
		plain.Fields = append(plain.Fields, catalog.Field{Name: f.Name, Type: f.Type})
	}
	for _, c := range []struct{ field, number string }{{"i", "12"}, {"i", "5.0"}, {"f", "1.50"}, {"f", "1e3"},
		{"d", "1.5"}, {"s", "1.50"}, {"s", "7"}, {"s", "-0"}} {
		sent := event(`,"data":{"` + c.field + `":` + c.number + `}`)
		quoted := event(`,"data":{"` + c.field + `":"` + c.number + `"}`)
		hashes := map[uint64]int{}
		for _, as := range []*catalog.EventType{coercing(), plain, {Name: "all"}} {
			for _, e := range []string{sent, quoted} {
				if _, hash, refused := decodeUnder(e, as); refused == nil {
					hashes[hash]++
				}
			}
		}
		if len(hashes) != 1 {
			t.Errorf("%s: %s: got hashes %v, want one", c.field, c.number, hashes)
		}
	}
}

// TestCoercedAreCounted: the answer says how many events had a value converted, and the metric has the values of each
// field. An event that is rejected for another value is in neither.
func TestCoercedAreCounted(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	c := &catalog.Catalog{Events: map[string]*catalog.EventType{"all": coercing()}, Bucket: time.Hour}
	s, err := New(testConfig(), c, 2, log, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	var lines []string
	for i, data := range []string{`"i":"1","f":"2"`, `"i":1`, `"s":1.50,"d":"1"`, `"i":"2","s":true`, `"i":null`} {
		lines = append(lines, fmt.Sprintf(`{"type":"all","id":"%d","data":{%s}}`, i, data))
	}
	r := post(t, s, strings.Join(lines, "\n"), "Content-Type", "application/x-ndjson")
	if r.Status != http.StatusOK || r.Accepted != 4 || r.Coerced != 2 {
		t.Errorf("got %+v", r)
	}
	const want = "default all d 1\ndefault all f 1\ndefault all i 1\ndefault all s 1\n"
	if got := coercedValues(t, s.metrics.coerced); got != want {
		t.Errorf("counted\n%swant\n%s", got, want)
	}
	if r := post(t, s, `{"type":"all","id":"x","data":{"i":1}}`); r.Coerced != 0 {
		t.Errorf("got %+v", r)
	}
}

// TestCoercedAreCountedInReplays: a replay counts values that were converted as a request does. A dry run only says so.
func TestCoercedAreCountedInReplays(t *testing.T) {
	t.Parallel()
	c := &catalog.Catalog{Events: map[string]*catalog.EventType{"all": coercing()}, Bucket: time.Hour}
	s, err := New(testConfig(), c, 2, &memoryLog{}, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	var kept []DeadLetter
	for i, data := range []string{`"i":"1","f":"2"`, `"i":1`, `"i":"2","s":true`} {
		kept = append(kept, DeadLetter{Raw: fmt.Appendf(nil, `{"type":"all","id":"%d","data":{%s}}`, i, data),
			Received: testNow})
	}
	for _, dry := range []bool{true, false} {
		want := "acme all f 1\nacme all i 1\n"
		if dry {
			want = ""
		}
		out, err := s.Replay("acme", kept, dry)
		if err != nil || !out[0].Coerced || out[1].Coerced || out[2].Coerced || out[2].Code == "" {
			t.Errorf("dry run %t: got %+v, %v", dry, out, err)
		}
		if got := coercedValues(t, s.metrics.coerced); got != want {
			t.Errorf("dry run %t: counted\n%swant\n%s", dry, got, want)
		}
	}
}

// TestCoercedSeriesAreBounded: tenants beyond the bound are counted together.
func TestCoercedSeriesAreBounded(t *testing.T) {
	t.Parallel()
	c := newCoerced()
	for i := range 2 * maxCoercedSeries {
		c.add(strconv.Itoa(i), "all", "i", 1)
	}
	got := coercedValues(t, c)
	if n := strings.Count(got, "\n"); n != maxCoercedSeries+1 {
		t.Errorf("%d series", n)
	}
	if !strings.Contains(got, fmt.Sprintf("%s all i %d\n", catalog.Overflow, maxCoercedSeries)) {
		t.Error("the others are not counted together")
	}
}

// coercedValues returns the values that were counted: a line of the tenant, the type, the field and the number of each.
func coercedValues(t *testing.T, c *coerced) (out string) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c.values)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			out += fmt.Sprintf("%s %s %s %v\n", labels["tenant"], labels["type"], labels["field"],
				m.GetCounter().GetValue())
		}
	}
	return out
}
