package query

import (
	"errors"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
)

// resolveDerived returns the scan of a query for counts with these derived numbers.
func resolveDerived(derived ...Derived) (*Scan, error) {
	q := &Query{View: "sales", Measures: []string{"count"}, Derived: derived, OrderBy: []Order{{By: "mean"}}}
	return q.Resolve(sales(), "t")
}

// TestDerivedIsTyped: the scan has the measures of derived numbers after those of the query, and before all others.
func TestDerivedIsTyped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"x = count + 1": "int64: count | mean", "x = revenue / count": "float64: count revenue | mean",
		"x = revenue - least": "float64: count revenue least | mean", "x=-count": "int64: count | mean",
		"x = if(last >= last, weight, null)": "float64: count last weight | mean",
		"x = weight / window_seconds":        "float64: count weight | mean",
		`x_2 = coalesce("mean", 0)`:          "float64: count mean |",
	} {
		d, err := ParseDerived(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := resolveDerived(d)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		q := &Query{View: "sales", Measures: []string{"count"}}
		got := string(s.Derived[0].Type()) + ":"
		for i, m := range s.Measures {
			if i == s.returned(q) {
				got += " |"
			}
			got += " " + m.Name
		}
		if s.returned(q) == len(s.Measures) {
			got += " |"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if again, err := ParseDerived(d.String()); err != nil || again != d {
			t.Errorf("%s is read as %+v, %v", d, again, err)
		}
	}
}

// TestDerivedReplacesMeasures: a query without measures has those of the view, unless it has derived numbers.
func TestDerivedReplacesMeasures(t *testing.T) {
	t.Parallel()
	q := &Query{View: "sales", Derived: []Derived{{"rate", "count / window_seconds"}},
		Having:  []Condition{{Measure: "rate", Op: Gt, Value: 0.5}, {Measure: "least", Op: Gt, Value: "1"}},
		OrderBy: []Order{{By: "rate"}, {By: "weight"}}}
	s, err := q.Resolve(sales(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Measures) != 0 || len(s.Measures) != 3 || s.Having[0].Column != 0 || s.Having[0].Type != catalog.Float64 ||
		s.Having[1].Column != 2 {
		t.Errorf("got %v, %+v", q.Measures, s)
	}
	all, totals, err := q.AllGroups(s)
	if err != nil || len(totals.Measures) != 1 || len(totals.Derived) != 1 || len(all.Measures) != 0 {
		t.Errorf("totals: %+v, %+v, %v", all, totals, err)
	}
}

// TestWrongDerived: an error names the number and says what to write.
func TestWrongDerived(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"count":                            `"count": write a name, = and an expression, as in ratio = clicks / views`,
		"= count":                          `"" is no name: use a letter`,
		"a__b = count":                     `"a__b" is no name`,
		"time = count":                     `"time" is no name`,
		"if(count >= 1, 1, 0)":             `"if(count >" is no name`,
		"mean = count":                     `view sales has a measure or a dimension "mean"; choose another name`,
		"shop = count":                     `view sales has a measure or a dimension "shop"`,
		"x = views / 2":                    `x: column 1: view sales has no measure "views"; it has count, last`,
		"x = shop":                         `view sales has no measure "shop"`,
		"x = count +":                      "x: column 8: found the end, want a value",
		"x =":                              "x: column 1: found the end, want a value",
		"x = last":                         "x is timestamp; make a number",
		"x = count > 1":                    "x is bool; make a number, as in if(views > 10, 1, 0)",
		"x = last - last":                  "x: column 6: -: it needs numbers, not timestamp",
		"x = if('a' = 'b', count, 1)":      "x: it is made of numbers and has no place for texts",
		"x = window_seconds":               "x: the expression has no measure; write one of count, last",
		"x = 1":                            "x: the expression has no measure",
		"x = " + strings.Repeat("1", 5000): "x: column 1: the expression has",
	} {
		d, err := ParseDerived(text)
		if err == nil {
			_, err = resolveDerived(d)
		}
		var wrong *Error
		if !errors.As(err, &wrong) || wrong.Field != "derived" || !strings.Contains(wrong.Msg, want) {
			t.Errorf("%.60s: got %v, want …%s…", text, err, want)
		}
	}
	one := Derived{"x", "count"}
	if _, err := resolveDerived(one, one); err == nil || !strings.Contains(err.Error(), `"x" is listed twice`) {
		t.Errorf("a name twice: got %v", err)
	}
	if _, err := resolveDerived(make([]Derived, MaxDerived+1)...); err == nil ||
		!strings.Contains(err.Error(), "33 numbers; at most 32: ask several queries") {
		t.Errorf("many: got %v", err)
	}
	long := "count" + strings.Repeat("+1", 70)
	if _, err := resolveDerived(Derived{"x", long}, Derived{"y", long}); err == nil ||
		!strings.Contains(err.Error(), "more than 256 names, literals, operators and functions together") {
		t.Errorf("long: got %v", err)
	}
}

// TestWrongLimitPerWindow: a limit per window needs windows.
func TestWrongLimitPerWindow(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]string{-1: "-1; use 1 to 1000000, or leave it out",
		MaxLimit + 1: "1000001; use 1",
		3:            "granularity all has one window; use limit, or choose a granularity such as 1d"} {
		_, err := (&Query{View: "sales", PerWindow: limit}).Resolve(sales(), "t")
		if err == nil || !strings.Contains(err.Error(), "limit_per_window: "+want) {
			t.Errorf("%d: got %v, want …%s…", limit, err, want)
		}
	}
	if _, err := (&Query{View: "sales", PerWindow: 3, Granularity: "1h"}).Resolve(sales(), "t"); err != nil {
		t.Error(err)
	}
}

// TestDerivedIsNoMemberOfRows: no derived number has the name of a member that rows have beside the columns of a query.
func TestDerivedIsNoMemberOfRows(t *testing.T) {
	t.Parallel()
	for name, compare := range map[string]Compare{"time": "", "tenant": "", "live": "", "bounds": "",
		"previous": PreviousPeriod} {
		q := &Query{View: "sales", Derived: []Derived{{name, "count * 2"}}, Compare: compare,
			From: time.Unix(86400*365, 0), To: time.Unix(86400*367, 0)}
		if _, err := q.Resolve(sales(), "t"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	q := &Query{View: "sales", Derived: []Derived{{"previous", "count * 2"}}}
	if _, err := q.Resolve(sales(), "t"); err != nil {
		t.Errorf("without compare: %v", err)
	}
}

// TestDerivedInJSON: the list is read as strictly as all else.
func TestDerivedInJSON(t *testing.T) {
	t.Parallel()
	q, err := Parse([]byte(`{"view":"sales","derived":[{"name":"x","expression":"count / 2"}]}`), time.Time{})
	if err != nil || len(q.Derived) != 1 || q.Derived[0] != (Derived{"x", "count / 2"}) {
		t.Errorf("got %+v, %v", q, err)
	}
	for body, want := range map[string]string{
		`{"x":"count"}`:                 "derived: cannot unmarshal object; write an array",
		`[{"name":"x","formula":"1"}]`:  `formula: unknown field "formula"`,
		`[{"name":"x","expression":1}]`: "derived.expression: cannot unmarshal number; write a string",
	} {
		if _, err := Parse([]byte(`{"view":"sales","derived":`+body+`}`), time.Time{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}
