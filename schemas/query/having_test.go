package query

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

// sales is a catalog with a measure of every type.
func sales() *catalog.Catalog {
	return &catalog.Catalog{
		Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"sale": {Name: "sale", Fields: []catalog.Field{
			{Name: "price", Type: "decimal(9,2)"}, {Name: "shop", Type: catalog.String},
			{Name: "time_paid", Type: catalog.Timestamp}, {Name: "weight", Type: catalog.Float64},
		}}},
		Views: map[string]*catalog.View{"sales": {
			Name: "sales", Event: "sale", Dimensions: []string{"shop"}, Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "count", Kind: catalog.Count},
				{Name: "last", Kind: catalog.Max, Field: "time_paid"},
				{Name: "least", Kind: catalog.Min, Field: "price"},
				{Name: "mean", Kind: catalog.Avg, Field: "price"}, {Name: "revenue", Kind: catalog.Sum, Field: "price"},
				{Name: "weight", Kind: catalog.Sum, Field: "weight"}},
		}},
	}
}

// resolveHaving returns the scan of a query for counts with these conditions.
func resolveHaving(having []Condition) (*Scan, error) {
	q := &Query{View: "sales", Measures: []string{"count"}, Having: having, OrderBy: []Order{{By: "revenue"}}}
	return q.Resolve(sales(), "t")
}

func readHaving(text string) (*Scan, error) {
	having, err := ParseHaving(text)
	if err != nil {
		return nil, err
	}
	return resolveHaving(having)
}

// TestHavingIsTyped lists texts with the JSON that means the same, and the measures that they add.
func TestHavingIsTyped(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"count > 10 and revenue >= 2.5", `[{"measure":"count","op":"gt","value":10},` +
			`{"measure":"revenue","op":"ge","value":"2.50"}]`, "count revenue"},
		{"revenue < 123456789012345678901234567890123456.78", `[{"measure":"revenue","op":"lt",` +
			`"value":123456789012345678901234567890123456.780}]`, "count revenue"},
		{"least != null or not mean between -1 and 2.5e3", `[{"or":[{"measure":"least","op":"ne","value":null},` +
			`{"not":{"measure":"mean","op":"between","values":[-1,2500]}}]}]`, "count least mean revenue"},
		{"last:le:2024-05-01T02:00:00+02:00", `[{"measure":"last","op":"le","value":"2024-05-01T00:00:00Z"}]`,
			"count last revenue"},
		{"least = '2.50' AND `weight` <= 1e2", `[{"measure":"least","op":"eq","value":2.5},` +
			`{"measure":"weight","op":"le","value":100.0}]`, "count least weight revenue"},
	} {
		got, err := readHaving(c[0])
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		q, err := Parse([]byte(`{"view":"sales","having":`+c[1]+`}`), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := resolveHaving(q.Having)
		if err != nil {
			t.Fatalf("%s: %v", c[1], err)
		}
		if diff := cmp.Diff(want.Having, got.Having); diff != "" {
			t.Errorf("%s: %s", c[0], diff)
		}
		var measures []string
		for _, m := range got.Measures {
			measures = append(measures, m.Name)
		}
		if names := strings.Join(measures, " "); names != c[2] {
			t.Errorf("%s: the scan has the measures %s, want %s", c[0], names, c[2])
		}
	}
}

// TestWrongHaving: an error names the place, the measure and what to write.
func TestWrongHaving(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"not", "having: at the end: write the name of a measure, not or (, as in views > 10"},
		{"count", "at the end: write an operator: =, !=, <, <=, >, >= or between … and …"},
		{"count:gt", "use measure:op:value, as in views:gt:10, or views > 10"},
		{"count > 2.5", `count: wrong type: the text "2.5" is not int64; write a whole number such as 10`},
		{"revenue > 2.505", "revenue: wrong type: \"2.505\" is not decimal(38,2): it has more digits after the " +
			"point; write a number with at most 2 digits after the point"},
		{"revenue > 1" + strings.Repeat("0", 36), "write a number without exponent and with at most 36 digits before"},
		{"revenue > 1e36", "it has more digits before the point; write a number without exponent and with at most 36"},
		{"revenue > x", `"x" is not decimal(38,2): it is no number`},
		{"least > 100000000", "it has more digits before the point; write a number without exponent and with at most " +
			"7 digits"},
		{"mean > NaN", "mean: wrong type: NaN is not float64; write a number such as 2.5"},
		{"mean > 'x'", "the text \"x\" is not float64; write a number such as 2.5"},
		{"last > yesterday", `write a time such as "2024-05-01T00:00:00Z"`},
		{"count > null", "count: a missing value has no order; compare it by eq or ne"},
		{"count in (1, 2)", `count: a measure has no op "in"; use one of [eq ne lt le gt ge between]`},
		{"count between 2 and 1", "count between: the first value is above the second; exchange them"},
		{"revenue between 2 and -1", "revenue between: the first value is above the second; exchange them"},
		{"not (count > 1 or shop = a)", "having.not.or[1]: shop is a dimension; write its condition into where"},
		{"views > 1", `view sales has no measure "views"; it has count, last, least, mean, revenue, weight`},
		{strings.Repeat("not ", 17) + "count = 1", "and, or and not are more than 16 deep"},
		{"count = 1" + strings.Repeat(" or count = 1", MaxConditions), "more than 256 conditions; write ranges"},
	} {
		_, err := readHaving(c[0])
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Field, "having") ||
			!strings.Contains(err.Error(), c[1]) {
			t.Errorf("%.60s: got %v, want …%s…", c[0], err, c[1])
		}
	}
	for where, want := range map[string]string{
		`"having":[{"dimension":"shop","op":"eq","value":"a"}]`: "having: a condition of having has measure; write " +
			"that of dimension shop into where",
		`"having":[{"measure":"revenue","op":"gt","value":true}]`: "having: revenue: wrong type: true is not " +
			"decimal(38,2); write a number",
		`"having":[{"measure":"count","op":"gt","values":[1,2]}]`: "having: count gt takes one value",
		`"having":[{}]`: "having: a condition has measure and op, or",
		`"where":[{"measure":"count","op":"gt","value":1}]`: "where: a condition of where has dimension",
		`"where":[{"dimension":"count","op":"gt","value":1}]`: "where: count is a measure; write its condition " +
			"into having",
	} {
		q, err := Parse([]byte(`{"view":"sales",`+where+`}`), time.Time{})
		if err == nil {
			_, err = q.Resolve(sales(), "t")
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s…", where, err, want)
		}
	}
}

// TestWideCompares compares numbers of 128 bits with big integers.
func TestWideCompares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Custom(func(t *rapid.T) Wide {
			return Wide{rapid.Int64Range(-1, 1).Draw(t, "high"), rapid.Uint64().Draw(t, "low")}
		})
		a := number.Draw(t, "a")
		b := number.Draw(t, "b")
		got := a.Compare(b)
		if want := decimal.Sum(a.High, a.Low).Cmp(decimal.Sum(b.High, b.Low)); got != want {
			t.Fatalf("%v and %v: got %d, want %d", a, b, got, want)
		}
	})
}
