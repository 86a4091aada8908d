package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
)

// resolved returns the conditions of a JSON list as a scan has them.
func resolved(t rapid.TB, where string) ([]Condition, error) {
	t.Helper()
	q, err := Parse([]byte(`{"view":"flights","from":"2001","to":"2002","where":`+where+`}`), time.Time{})
	if err != nil {
		return nil, err
	}
	s, err := q.Resolve(flights(), "t")
	if err != nil {
		return nil, err
	}
	return s.Where, nil
}

// read returns the conditions of a text as a scan has them.
func read(text string) ([]Condition, error) {
	where, err := ParseWhere(text)
	if err != nil {
		return nil, err
	}
	q := &Query{View: "flights", Where: where}
	s, err := q.Resolve(flights(), "t")
	if err != nil {
		return nil, err
	}
	return s.Where, nil
}

// TestTextIsJSON lists texts with the JSON that means the same.
func TestTextIsJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"origin = ORD":    `[{"dimension":"origin","op":"eq","value":"ORD"}]`,
		"origin=/a?b=c&d": `[{"dimension":"origin","op":"eq","value":"/a?b=c&d"}]`,
		`origin != null`:  `[{"dimension":"origin","op":"ne","value":null}]`,
		`origin = "null"`: `[{"dimension":"origin","op":"eq","value":"null"}]`,
		`origin in (ORD, 'it''s', "q\"\\\u00e9", null, 5)`: `[{"dimension":"origin","op":"in",` +
			`"values":["ORD","it's","q\"\\é",null,"5"]}]`,
		"delay NOT IN(1,-2)": `[{"dimension":"delay","op":"not_in","values":[1,-2]}]`,
		"delay<5 and delay>=-9223372036854775808": `[{"dimension":"delay","op":"lt","value":5},` +
			`{"dimension":"delay","op":"ge","value":-9223372036854775808}]`,
		"delay between -1 and 1 or delay > 9": `[{"or":[{"dimension":"delay","op":"between","values":[-1,1]},` +
			`{"dimension":"delay","op":"gt","value":9}]}]`,
		"origin prefix / and not (origin suffix .js or origin contains '')": `[{"dimension":"origin","op":"prefix",` +
			`"value":"/"},{"not":{"or":[{"dimension":"origin","op":"suffix","value":".js"},` +
			`{"dimension":"origin","op":"contains","value":""}]}}]`,
		"delay = 1 or delay = 2 and cancelled = true": `[{"or":[{"dimension":"delay","op":"eq","value":1},{"and":[` +
			`{"dimension":"delay","op":"eq","value":2},{"dimension":"cancelled","op":"eq","value":true}]}]}]`,
		"not not origin exists and cancelled exists false": `[{"not":{"not":{"dimension":"origin","op":"exists",` +
			`"value":true}}},{"dimension":"cancelled","op":"exists","value":false}]`,
		"`origin` = 'and' AND origin = and": `[{"dimension":"origin","op":"eq","value":"and"},` +
			`{"dimension":"origin","op":"eq","value":"and"}]`,
		"cancelled = TRUE or cancelled in (False)": `[{"or":[{"dimension":"cancelled","op":"eq","value":true},` +
			`{"dimension":"cancelled","op":"in","values":[false]}]}]`,
		"":                    `null`,
		" \n":                 `null`,
		"origin:in:ORD,ATL":   `[{"dimension":"origin","op":"in","values":["ORD","ATL"]}]`,
		"origin:eq:a:b,null":  `[{"dimension":"origin","op":"eq","value":"a:b,null"}]`,
		"delay:between:-1,20": `[{"dimension":"delay","op":"between","values":[-1,20]}]`,
	} {
		got, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		same, err := resolved(t, want)
		if diff := cmp.Diff(same, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

// TestWrongTexts: an error says where, and what to write there.
func TestWrongTexts(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"not", "at the end: write the name of a dimension"},
		{"origin", "at the end: write an operator: ="},
		{"origin ==ORD", `at character 9, before "=ORD": write one of =`},
		{"origin <> ORD", `at character 8, before "<> ORD": write != in place of <>`},
		{"origin IS NOT NULL", `before "IS NOT NULL": write != null in place of is not null`},
		{"origin like 'a%'", "write prefix, suffix or contains in place of like"},
		{"origin ilike 'a%'", "write prefix, suffix or contains in place of ilike"},
		{"Å = 1", `at character 1, before "Å = 1": write the name of a dimension`},
		{"origin is null", `at character 8, before "is null": write = null in place of is null`},
		{"origin = a b", `at character 12, before "b": write and or or`},
		{"origin = 'Å", "at character 10, before \"'Å\": the text has no ' at its end"},
		{`origin = "a`, "the text has no \" at its end"},
		{`origin = "\x"`, "no string of JSON"},
		{`origin = "\ud800"`, "no string of JSON"},
		{"origin = ", "at the end: write a value"},
		{"origin in ORD", `before "ORD": write the values as (DE, FR)`},
		{"origin in ()", "write a value; one that is empty"},
		{"origin in (a b)", `at character 14, before "b)": write a comma or )`},
		{"origin in (a", "at the end: write a comma or )"},
		{"origin not = a", `before "= a": write in (…) after not`},
		{"delay between 1, 2", `before ", 2": write and before the highest value`},
		{"(delay = 1", "at the end: write and, or or )"},
		{"delay = 1)", `before ")": write and or or`},
		{"delay = 1 && delay = 2", `before "&& delay = 2": write and or or`},
		{"`origin = 1", "the name has no ` at its end"},
		{"origin:eq", "use dimension:op:value, as in origin:in:ORD,ATL, or origin in (ORD, ATL)"},
		{"origin:like:a", `unknown op "like"`},
		{"cancelled < true", "lt needs a dimension with an order; cancelled is bool, so use eq"},
		{"delay prefix 1", "prefix needs a string dimension; delay is int64"},
		{"delay = 1.5", `"1.5" is not int64`},
		{"delay = '1'", `the text "1" is not int64`},
		{"delay = x", `"x" is not int64`},
		{"delay > null", "delay: wrong type"},
		{"delay between 2 and 1", "delay between: the first value is above the second; exchange them"},
		{"tail = N1", `view flights has no dimension "tail"; it has origin, delay, cancelled`},
		{strings.Repeat("(", 100_000), "and, or and not are more than 16 deep"},
		{strings.Repeat("not ", 17) + "delay = 1", "and, or and not are more than 16 deep"},
		{"delay = 1" + strings.Repeat(" and delay = 1", MaxConditions), "more than 256 conditions; write"},
		{"delay in (1" + strings.Repeat(",1", MaxValues) + ")", "more than 10000 values"},
	} {
		text := c[0]
		want := c[1]
		_, err := read(text)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Field, "where") || !strings.Contains(wrong.Msg, want) {
			t.Errorf("%.40s: got %v, want …%s…", text, err, want)
		}
	}
}

// TestWrongTrees: an error names the place in the tree.
func TestWrongTrees(t *testing.T) {
	t.Parallel()
	const leaf = `{"dimension":"delay","op":"eq","value":1}`
	nested := func(n int) string { return strings.Repeat(`{"not":`, n) + leaf + strings.Repeat("}", n) }
	long := strings.Repeat("a", MaxText+1)
	full := `{"dimension":"delay","op":"in","values":[` + strings.Repeat("1,", MaxValues-1) + `1]},`
	for _, c := range [][2]string{
		{`[{}]`, "where: a condition has dimension and op, or it has one of and, or, not"},
		{`[{"and":[` + leaf + `,{}]}]`, "where.and[1]: a condition has"},
		{`[{"not":{"or":[{"not":{"dimension":"delay","op":"eq","value":"x"}}]}}]`, "where.not.or[0].not: delay: wrong"},
		{`[{"and":[` + leaf + `],"or":[` + leaf + `]}]`, "where: a condition has"},
		{`[` + leaf + `,{"dimension":"delay","op":"is","value":1}]`, `where[1]: unknown op "is"`},
		{`[{"not":` + leaf + `,"op":"eq"}]`, "where: a condition has"},
		{`[{"or":[]}]`, "where: or is empty; give it conditions, or leave it out"},
		{`{"and":[]}`, "where: cannot unmarshal object; write an array"},
		{`[{"not":[]}]`, "where.not: cannot unmarshal array; write an object"},
		{`[{"dimension":"delay","op":"between","values":[1]}]`, "takes values: the lowest and the highest"},
		{`[{"dimension":"delay","op":"between","value":1}]`, "takes values: the lowest and the highest"},
		{`[{"dimension":"delay","op":"eq"}]`, "where: a comparison has no value"},
		{`[{"or":[{"op":"ne","dimension":"delay","values":[],"and":[]}]}]`, "where: a comparison has no value"},
		{`[{"dimension":"delay","op":"eq","values":null}]`, "where: a comparison has no value"},
		{`[{"dimension":"delay","op":"lt","values":[1,2]}]`, "delay lt takes one value"},
		{`[{"dimension":"delay","op":"in","value":1}]`, "takes values: 1 to 10000 of them"},
		{`[{"dimension":"origin","op":"eq","value":"` + long + `"}]`, "a text of 65537 bytes; at most 65536"},
		{`[` + nested(MaxDepth+1) + `]`, "and, or and not are more than 16 deep"},
		{`[` + strings.Repeat(leaf+",", MaxConditions) + leaf + `]`, "more than 256 conditions"},
		{`[` + strings.Repeat(full, MaxAllValues/MaxValues) + leaf + `]`, "more than 320000 values"},
	} {
		if _, err := resolved(t, c[0]); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%.60s: got %v, want …%s…", c[0], err, c[1])
		}
	}
	ofJava := `[{"dimension":"delay","op":"eq","value":1,"values":[],"and":[],"or":[]}]`
	null := `[{"dimension":"delay","op":"eq","value":null},{"dimension":"delay","op":"ne","values":[null]}]`
	for _, where := range []string{null, `[` + nested(MaxDepth) + `]`, `[` + leaf + `]`, `[]`, `null`, ofJava} {
		if _, err := resolved(t, where); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// TestTextAndJSONRoundTrip writes random trees as JSON and as texts. Both must be read as the same conditions.
func TestTextAndJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tree := rapid.Custom(func(t *rapid.T) Condition { return drawTree(t, 4) })
		drawn := rapid.SliceOfN(tree, 1, 3).Draw(t, "where")
		raw, err := json.Marshal(drawn)
		if err != nil {
			t.Fatal(err)
		}
		want, err := resolved(t, string(raw))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		text := FormatWhere(want)
		got, err := read(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(predicateOf(want), predicateOf(got)); diff != "" {
			t.Fatalf("%s, %s: %s", raw, text, diff)
		}
	})
}

func predicateOf(where []Condition) Predicate {
	s := Scan{Where: where}
	return s.Predicate()
}

// drawTree draws a condition with at most depth lists and negations inside each other.
func drawTree(t *rapid.T, depth int) Condition {
	if kind := rapid.IntRange(0, 5).Draw(t, "kind"); depth > 0 && kind < 3 {
		parts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Condition { return drawTree(t, depth-1) }), 1, 3).
			Draw(t, "parts")
		return []Condition{{Not: &parts[0]}, {And: parts}, {Or: parts}}[kind]
	}
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "true", "5", "a b", `\`, `"`, "'", "(",
		",", catalog.Overflow}))
	values := map[string]*rapid.Generator[any]{
		"origin": rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Just[any](nil)),
		"delay":  rapid.OneOf(rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Just[any](nil)),
	}
	c := Condition{Op: rapid.SampledFrom(Ops).Draw(t, "op")}
	c.Dimension = rapid.SampledFrom([]string{"origin", "delay"}).Draw(t, "dimension")
	switch c.Op {
	case In, NotIn:
		c.Values = rapid.SliceOfN(values[c.Dimension], 1, 3).Draw(t, "values")
	case Eq, Ne:
		c.Value = values[c.Dimension].Draw(t, "value")
	case Exists:
		c.Value = rapid.Bool().Draw(t, "exists")
	case Between:
		low := rapid.Int64().Draw(t, "low")
		c.Dimension = "delay"
		c.Values = []any{low, max(low, rapid.Int64().Draw(t, "high"))}
	case Lt, Le, Gt, Ge:
		c.Dimension = "delay"
		c.Value = rapid.Int64().Draw(t, "value")
	default:
		c.Dimension = "origin"
		c.Value = text.Draw(t, "text")
	}
	return c
}

// TestNotIsTheComplement: for each value, null included, a predicate or its negation holds, and never both.
func TestNotIsTheComplement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t, 3)
		raw, err := json.Marshal(&tree)
		if err != nil {
			t.Fatal(err)
		}
		where, err := resolved(t, fmt.Sprintf("[%s]", raw))
		if err != nil {
			t.Fatal(err)
		}
		p := predicateOf(where)
		not := predicateOf([]Condition{{Not: &where[0]}})
		text := rapid.String().Draw(t, "origin")
		number := rapid.Int64().Draw(t, "delay")
		noText := rapid.Bool().Draw(t, "no origin")
		noNumber := rapid.Bool().Draw(t, "no delay")
		over := rapid.Bool().Draw(t, "overflowed")
		of := func(test *Test) Verdict {
			switch {
			case test.Dimension == "origin" && noText, test.Dimension == "delay" && noNumber:
				return test.VerdictOf(test.Null(), false)
			case test.Dimension == "origin":
				return test.VerdictOf(test.Text(text), over)
			}
			return test.VerdictOf(test.Int(number), false)
		}
		is := p.Verdict(of)
		isNot := not.Verdict(of)
		if is&Holds == isNot&Holds || (is&Possible == 0) != (isNot&Certain != 0) || (is&Certain == 0) !=
			(isNot&Possible != 0) || is&Certain != 0 && is&Holds == 0 || is&Holds != 0 && is&Possible == 0 {
			t.Fatalf("%s: %b, and %b of its negation", raw, is, isNot)
		}
	})
}

// FuzzWhere checks that any text is refused with an *Error that names a field, or resolves into conditions that are
// written as a text of the same meaning.
func FuzzWhere(f *testing.F) {
	for _, s := range []string{"origin in (ORD, 'it''s', \"\\u00e9\", null) and not (delay >= 5 or `cancelled` = true)",
		"delay between -1 and 5", "origin not in (a) or origin prefix '' and origin exists false", "origin:in:a,b",
		"delay:lt:5", "not not(((origin suffix x)))", "origin contains \"", "a:b", "", "\xff", "origin=)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		where, err := read(text)
		if err != nil {
			if wrong := (*Error)(nil); !errors.As(err, &wrong) || wrong.Field == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		again := FormatWhere(where)
		got, err := read(again)
		if err != nil {
			t.Fatalf("%s, from %s: %v", again, text, err)
		}
		if diff := cmp.Diff(predicateOf(where), predicateOf(got)); diff != "" {
			t.Fatalf("%s, from %s: %s", again, text, diff)
		}
	})
}
