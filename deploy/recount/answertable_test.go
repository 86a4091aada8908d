package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawCell draws values that are easily taken for each other.
func drawCell(t *rapid.T) answerCell {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "-", `""`, `"-"`, `"`, " ", "a,b", "null", "7", " 7", "tab\t",
		"(others)"}),
		rapid.StringMatching(`[-" ,ab]{0,5}`)).Draw(t, "text")
	isNull := rapid.IntRange(0, 4).Draw(t, "null") == 0
	if isNull {
		text = ""
	}
	return answerCell{text: text, isNull: isNull}
}

// TestReadAnswer writes cells as the server does, and reads them back. Null is nothing there, and the empty text is a
// pair of quotation marks. In one column, which is that of a number, the pair is null.
func TestReadAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(t, "width")
		end := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "end")
		names := []string{"a", "b", "c", "d"}[:width]
		body := strings.Join(names, ",") + end
		var want [][]answerCell
		for range rapid.IntRange(0, 4).Draw(t, "rows") {
			var row []answerCell
			var fields []string
			for range width {
				c := drawCell(t)
				c.isNull = c.isNull || width == 1 && c.text == ""
				field := c.text
				if (!c.isNull || width == 1) && (c.text == "" || strings.ContainsAny(c.text, "\",\r\n ")) {
					field = `"` + strings.ReplaceAll(c.text, `"`, `""`) + `"`
				}
				row = append(row, c)
				fields = append(fields, field)
			}
			want = append(want, row)
			body += strings.Join(fields, ",") + end
		}
		got, err := readAnswer(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if !slices.Equal(got.header, names) || fmt.Sprint(got.rows) != fmt.Sprint(want) {
			t.Fatalf("%q: got %v, want %v", body, got, want)
		}
	})
	for body, says := range map[string]string{"": "unexpected EOF", "a,b\n1\n": "line 2", "a\n\"x": "line 2",
		"a\n\"x\"y\n": "quotation mark"} {
		if _, err := readAnswer(strings.NewReader(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q", body, err, says)
		}
	}
}

// TestCellsDiffer: a table shows different values differently, null and the empty text among them.
func TestCellsDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawCell(t)
		b := drawCell(t)
		if (a == b) != (a.String() == b.String()) && !strings.Contains(a.text+b.text, "\t") {
			t.Fatalf("%+v is shown as %s, and %+v as %s", a, a, b, b)
		}
	})
	for want, c := range map[string]answerCell{"-": {isNull: true}, `""`: {}, `"-"`: {text: "-"}, "x y": {text: "x y"},
		`"""q"""`: {text: `"q"`}, `" x"`: {text: " x"}, "(others)": {isOthers: true},
		`"(others)"`: {text: "(others)"}} {
		if got := c.String(); got != want {
			t.Errorf("%+v: got %s, want %s", c, got, want)
		}
	}
}
