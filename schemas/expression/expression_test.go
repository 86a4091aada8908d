package expression

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// testColumns are two columns of each type.
var testColumns = map[string]Type{"s": String, "u": String, "i": Int64, "j": Int64, "f": Float64, "g": Float64,
	"b": Bool, "c": Bool, "t": Timestamp, "not": Bool}

func columnOf(name string) (Type, bool) {
	t, ok := testColumns[name]
	return t, ok
}

// TestMistakes: a mistake is named with its column.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":                              "column 1: found the end, want a value",
		"i +":                           "column 4: found the end, want a value",
		"'é' = x":                       `column 7: there is no field "x" that a computed field may use`,
		"i + s":                         "column 3: +: it needs numbers, not string",
		"lower(i)":                      "column 1: lower: argument 1 is int64, not string; write lower(text)",
		"lower(s":                       "column 8: found the end, want a comma or a closing bracket",
		"lower(s, u)":                   "column 1: lower: it has 1 arguments, not 2",
		"median(s)":                     "column 1: there is no function median; there are if, coalesce",
		"negate(i)":                     "column 1: there is no function negate",
		"'it":                           "column 1: the quote is not closed",
		"i # j":                         "column 3: '#' is no part of an expression",
		"i = j = b":                     `column 7: found =, want an operator or the end`,
		"if(b, i, s)":                   "the values are int64 and string; they need one type",
		"if(i, i, i)":                   "the condition is bool, not int64",
		"null":                          "column 1: the expression is always null",
		"coalesce(null, null)":          "a value has to have a type",
		"i = null":                      "nothing equals null",
		"b < c":                         "bool values have no order",
		"9223372036854775808":           "9223372036854775808 is no int64",
		"1e999":                         "1e999 is no float64",
		"1.2.3":                         "1.2.3 is no float64",
		"substring(s, i, 2)":            "the numbers are literals from 1 and 0",
		"split(s, '', 1)":               "the separator is a literal that is not empty",
		"hour(t, 'Mars/Base')":          `"Mars/Base" is no time zone`,
		"hour(t, '')":                   `"" is no time zone`,
		"hour(t, s)":                    "the zone is a literal",
		"timestamp('soon')":             `timestamp: "soon"`,
		"not":                           "column 4: found the end, want a value",
		strings.Repeat("(", 40) + "i":   "nested more than 32 deep",
		strings.Repeat("-", 40) + "i":   "nested more than 32 deep",
		strings.Repeat("i+", 200) + "i": "more than 256 parts",
		strings.Repeat(" ", 5000):       "has 5000 bytes; at most 4096",
		"'\xff'":                        "not valid UTF-8",
	} {
		_, err := Parse(source, columnOf)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: got %v, want %q", source, err, want)
		}
	}
}

// arrowTypes are the types of columns.
var arrowTypes = map[Type]arrow.DataType{String: arrow.BinaryTypes.String, Int64: arrow.PrimitiveTypes.Int64,
	Float64: arrow.PrimitiveTypes.Float64, Bool: arrow.FixedWidthTypes.Boolean,
	Timestamp: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}}

// evaluate returns an expression's value over one row as text.
func evaluate(t *testing.T, source string, row map[string]value) string {
	t.Helper()
	e, err := Parse(source, columnOf)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	out := e.Evaluate(1, func(name string) arrow.Array {
		v, ok := row[name]
		if !ok {
			return nil
		}
		return build(arrowTypes[testColumns[name]], []value{v})
	}, arrowTypes[e.Type])
	if out.IsNull(0) {
		return "null"
	}
	return out.ValueStr(0)
}

// TestMeaning is the language by examples.
func TestMeaning(t *testing.T) {
	t.Parallel()
	row := map[string]value{"s": text("Ünï ABC"), "u": text("https://me@Example.com:80/a/b?c=/d#e"), "i": {whole: 7},
		"j": {whole: -2}, "f": {float: 0.5}, "b": truth(true), "t": {whole: 1711846800_000000}, "not": truth(true)}
	for source, want := range map[string]string{
		"1 + 2 * 3 - 4": "3", "(1 + 2) * 3": "9", "7 / 2": "3.5", "div(-7, 2)": "-3", "-7 % 2": "-1", "i % 0": "null",
		"1 / 0": "null", "- i": "-7", "-(i)": "-7", "2 * f": "1", "i - - 1": "8", "1 - 1 - 1": "-1",
		"9223372036854775807 + 1": "null", "-9223372036854775808 - 1": "null", "-9223372036854775808 * -1": "null",
		"-9223372036854775808": "-9223372036854775808", "div(-9223372036854775808, -1)": "null",
		"1e308 * 10": "null", "0.0 * -1": "0", "-0.0": "0",
		"i > 5 and not b or i = 7.0": "true", "not b = b": "false", "g > 1": "null", "g > 1 and false": "false",
		"g > 1 or true": "true", "g > 1 or false": "null", `"not" and b`: "true",
		"if(g > 1, 'a', 'b')": "b", "if(b, null, 1)": "null", "if(b, i, f)": "7", "coalesce(g, i, null)": "7",
		"coalesce(g)": "null", "'it''s'": "it's", "s = 'x'": "false", "s != u": "true",
		"lower(s)": "Ünï abc", "upper(s)": "ÜNï ABC", "substring(s, 2, 2)": "nï", "substring(s, 9, 2)": "",
		"substring(s, 1, 0)": "", "split(u, '/', 3)": "me@Example.com:80", "split(u, '/', 9)": "null",
		"host(u)": "Example.com", "path(u)": "/a/b", "host(s)": "null", "path('ftp://x')": "",
		"host('http://[::1]:80')": "[::1]",
		"host('http://[::1]/')":   "[::1]", "host('http:///a')": "null", "host('1http://a')": "null",
		"hour(t)": "1", "hour(t, 'Europe/Oslo')": "3", "date(t, 'America/Los_Angeles')": "2024-03-30",
		"weekday(t)": "7", "year(t)": "2024", "month(t)": "3", "day(t)": "31", "minute(t, 'Asia/Kolkata')": "30",
		"t >= timestamp('2024-03-31T01:00:00Z')": "true",
	} {
		if got := evaluate(t, source, row); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

// TestColumns: an expression says which columns it reads. A column of another type counts as null.
func TestColumns(t *testing.T) {
	t.Parallel()
	e, err := Parse("if(b, i, j + i)", columnOf)
	if err != nil || fmt.Sprint(e.Columns) != "[b i j]" || e.Type != Int64 {
		t.Fatalf("got %+v, %v", e, err)
	}
	out := e.Evaluate(2, func(string) arrow.Array {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		b.AppendValues([]string{"5", "6"}, nil)
		return b.NewArray()
	}, arrowTypes[Int64])
	if out.NullN() != 2 {
		t.Errorf("got %v", out)
	}
}

// TestTableOfFunctions: the manual has every function as the package describes it.
func TestTableOfFunctions(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../deploy/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Functions() {
		if row := fmt.Sprintf("\n| `%s` | %s |\n", f.Usage, f.Help); !strings.Contains(string(manual), row) {
			t.Errorf("OPERATIONS.md lacks the row%s", row)
		}
		if !strings.HasPrefix(f.Usage, "coalesce(") {
			known := func(name string) (Type, bool) {
				types := map[string]Type{"condition": Bool, "value": String, "otherwise": String, "a": Int64,
					"b": Int64, "text": String, "url": String, "time": Timestamp}
				return types[name], types[name] != ""
			}
			if _, err := Parse(f.Usage, known); err != nil {
				t.Errorf("the usage %s is no expression: %v", f.Usage, err)
			}
		}
	}
}

// TestNestedSQL: the SQL of nested functions grows with their number, and not by a factor with each.
func TestNestedSQL(t *testing.T) {
	t.Parallel()
	size := func(source string) int {
		e, err := Parse(source, columnOf)
		if err != nil {
			t.Fatal(err)
		}
		return len(e.SQL(func(name string) string { return name }))
	}
	for _, name := range []string{"host(", "path(", "-(", "split("} {
		end := ")"
		column := "s"
		switch name {
		case "-(":
			column = "f"
		case "split(":
			end = ", '/', 1)"
		}
		nested := func(n int) int { return size(strings.Repeat(name, n) + column + strings.Repeat(end, n)) }
		one := nested(2) - nested(1)
		if ten := nested(11) - nested(1); ten > 11*one {
			t.Errorf("%s takes %d bytes, and ten take %d", name, one, ten)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"if(i>1,'a',\"not\")", "coalesce(host(u), path(s), 'x''y')", "-1e5+f*(j%2)", "not not b",
		"date(t,'Europe/Oslo')", "timestamp('2024-01-01T00:00:00Z')<t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e, err := Parse(source, func(name string) (Type, bool) {
			known, ok := testColumns[name]
			return known, ok
		})
		if err != nil {
			return
		}
		nothing := func(string) arrow.Array { return nil }
		if out := e.Evaluate(1, nothing, arrowTypes[e.Type]); out.Len() != 1 {
			t.Fatal("no value")
		}
		_ = e.SQL(func(name string) string { return name })
	})
}
