package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func plotted40(t *testing.T, body string, dimensions int, prepare func(*canvas)) string {
	t.Helper()
	answer, err := readAnswer(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	first := dimensions
	if answer.column("time") == 0 {
		first++
	}
	p, err := newPlotted(answer, answer.header[first], dimensions)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := newCanvas(&out)
	c.width = 40
	prepare(c)
	if err := p.draw(c, dimensions); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestPlots: a list becomes bars, windows without groups too, and windows of groups a line of signs each. Null has no
// sign, and is not 0.
func TestPlots(t *testing.T) {
	t.Parallel()
	utf8Colour := func(c *canvas) {
		c.levels = []rune("▁▂▃▄▅▆▇█")
		c.bar = '█'
		c.minus = '░'
		c.colour = true
	}
	for _, c := range []struct {
		name, body string
		dimensions int
		prepare    func(*canvas)
		want       string
	}{
		{"a list", "page,views\n/,20\n\"\",10\n,0\n-,-5\n", 1, func(*canvas) {},
			"/    20  ###############################\n" +
				"\"\"   10  ################\n-     0\n\"-\"  -5  --------\n"},
		{"windows", "time,views\n2024-01-01,1\n2024-01-02,\n", 0, func(*canvas) {},
			"2024-01-01  1  #########################\n2024-01-02  -\n"},
		{"a gap", "time,views\n1,0\n2,0\n3,4\n4,0\n5,0\n6,0\n7,0\n8,\n9,1\n10,0\n11,0\n12,0\n", 0,
			func(*canvas) {}, "1   0\n2   0\n3   4  #################################\n4   0\n" +
				"...  3 more windows alike\n8   -\n9   1  ########\n10  0\n11  0\n12  0\n"},
		{"lines", "time,page,views\n1,a,0\n1,b,4\n2,a,8\n2,b,\n3,a,7\n3,b,1\n", 1, func(*canvas) {},
			"a  _#*  7\nb  = .  1\n"},
		{"far apart", "time,page,cost\n1,a,-1e308\n2,a,0\n3,a,1e308\n", 1, func(*canvas) {}, "a  _=#  1e308\n"},
		{"the least number", "time,page,cost\n1,a,0\n2,a,5e-324\n", 1, func(*canvas) {}, "a  _#  5e-324\n"},
		{"alike", "time,page,shop,views\n1,a  b,c,1\n1,a,b  c,2\n", 2, func(*canvas) {},
			"a  b  c  =  1\na  b  c  #  2\n"},
		{"below zero", "page,views\n/,-1\n", 1, utf8Colour, "/  -1  \x1b[36m" + strings.Repeat("░", 33) + "\x1b[0m\n"},
		{"nothing", "page,views\n", 1, func(*canvas) {}, ""},
		{"zeros", "page,views\n/,0\n", 1, func(*canvas) {}, "/  0\n"},
		{"a terminal", "page,views\n/,1\n", 1, utf8Colour, "/  1  \x1b[36m" + strings.Repeat("█", 34) + "\x1b[0m\n"},
	} {
		if got := plotted40(t, c.body, c.dimensions, c.prepare); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestPlotFits: no line is longer than the output is wide, however many windows there are.
func TestPlotFits(t *testing.T) {
	t.Parallel()
	body := "time,page,views\n"
	for range 1000 {
		body += "2024-01-01T00:00:00Z,/,3\n"
	}
	for line := range strings.Lines(plotted40(t, body, 1, func(*canvas) {})) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 40 {
			t.Errorf("%d signs: %s", n, line)
		}
	}
	if got := shrink([]float64{1, 3, math.NaN(), 5, math.NaN(), math.NaN()}, 3); got[0] != 2 || got[1] != 5 ||
		!math.IsNaN(got[2]) {
		t.Errorf("got %v, want the means of pairs", got)
	}
	if got := shrink([]float64{1e308, 1e308}, 1); got[0] != 1e308 {
		t.Errorf("got %v, want 1e308", got)
	}
}

func TestSpeaksUTF8(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lang, all string
		want      bool
	}{{"", "", false}, {"C", "", false}, {"de_DE.UTF-8", "", true}, {"de_DE.UTF-8", "C", false}, {"", "C.utf8", true}} {
		env := map[string]string{"LANG": c.lang, "LC_ALL": c.all}
		if got := speaksUTF8(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}
