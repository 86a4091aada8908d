package eventfile

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
)

// texts are values as people's files have them, at the edges between types.
var texts = []string{"1", "-0", "0", "007", "+1", "1.0", "1e5", "1e400", "9223372036854775807", "9223372036854775808",
	"-9223372036854775808", "true", "false", "TRUE", "2024-05-01", "2024-05-01T00:00:00Z", "2024-05-01 10:00:00",
	"2024", "NA", "NaN", "", "x", " 1", "0x10", "1_000", "1,5", "Infinity", "null"}

// naiveType is the type of a CSV column by its definition: the narrowest one that holds every value.
func naiveType(values []string) catalog.FieldType {
	all := func(holds func(string) bool) bool {
		given := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
		return len(given) > 0 && !slices.ContainsFunc(given, func(v string) bool { return !holds(v) })
	}
	number := func(v string) bool {
		var n json.Number
		_, err := strconv.ParseFloat(v, 64)
		return err == nil && json.Unmarshal([]byte(v), &n) == nil && v != "null"
	}
	switch {
	case all(func(v string) bool {
		_, err := strconv.ParseInt(v, 10, 64)
		return err == nil && number(v)
	}):
		return catalog.Int64
	case all(number):
		return catalog.Float64
	case all(func(v string) bool { return v == "true" || v == "false" }):
		return catalog.Bool
	case all(func(v string) bool {
		is, _ := timeformat.IsTime(v)
		return is
	}):
		return catalog.Timestamp
	}
	return catalog.String
}

// TestSurvey compares the type of a column with its definition, for columns of one kind of value and of several.
func TestSurvey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SliceOfNDistinct(rapid.SampledFrom(texts), 1, 3, rapid.ID).Draw(t, "few")
		values := rapid.SliceOfN(rapid.SampledFrom(few), 1, 6).Draw(t, "values")
		content := "a,b\n"
		for _, v := range values {
			content += strconv.Quote(v) + ",1\n"
		}
		s, err := NewSurvey(Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		f := input.Standard(strings.NewReader(content))
		f.Name = "a.csv"
		if err := s.Add(f); err != nil {
			t.Fatal(err)
		}
		got, err := s.Columns[0].Type()
		if want := naiveType(values); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", values, got, err, want)
		}
	})
}

// TestWideDecimals: the zeros at the end of a DECIMAL(38,18) do not make its numbers too long for a decimal field.
func TestWideDecimals(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]catalog.FieldType{
		"12.500000000000000000":                       "decimal(18,1)",
		"-12.500000000000000000 7.250000000000000000": "decimal(18,2)",
		"12.500000000000000001":                       catalog.Float64,
		"12.00 -0.10":                                 "decimal(18,2)",
	} {
		c := &Surveyed{Name: "c"}
		for text := range strings.FieldsSeq(values) {
			c.observe(table.Cell{Kind: table.Decimal, Text: text}, nil)
		}
		if got, err := c.Type(); err != nil || got != want || c.Rounds() != (want == catalog.Float64) {
			t.Errorf("%s: got %s, %v, rounded %t, want %s", values, got, err, c.Rounds(), want)
		}
	}
}
