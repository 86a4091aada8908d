package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// canvas is where a plot is drawn: how wide, with which signs and in which colour.
type canvas struct {
	out    io.Writer
	width  int
	height int    // of a terminal, or 0
	levels []rune // from the lowest to the highest
	bar    rune
	minus  rune // that of a negative value's bar
	colour bool
}

// The width of a plot that goes to no terminal, and the bounds of any other.
const (
	usualWidth = 80
	leastWidth = 40
	mostWidth  = 400
)

// newCanvas looks at what the output is. Signs beyond ASCII, and colours, are for terminals only. The variable NO_COLOR
// forbids colours (no-color.org).
func newCanvas(out io.Writer) *canvas {
	c := &canvas{out: unguarded(out), width: usualWidth, levels: []rune("_.-:=+*#"), bar: '#', minus: '-'}
	if !c.measure() {
		return c
	}
	if speaksUTF8(os.Getenv) {
		c.levels = []rune("▁▂▃▄▅▆▇█")
		c.bar = '█'
		c.minus = '░'
	}
	term := os.Getenv("TERM")
	c.colour = os.Getenv("NO_COLOR") == "" && term != "" && term != "dumb"
	return c
}

// measure sets the size to that of the terminal, and reports whether there is one.
func (c *canvas) measure() bool {
	file, isFile := c.out.(*os.File)
	if !isFile {
		return false
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return false // It is a file, a pipe or another device.
	}
	if size.Col > 0 {
		c.width = min(max(int(size.Col), leastWidth), mostWidth)
	}
	c.height = int(size.Row)
	return true
}

// speaksUTF8 reports whether the locale has UTF-8, in the order in which POSIX looks.
func speaksUTF8(env func(string) string) bool {
	locale := strings.ToLower(cmp.Or(env("LC_ALL"), env("LC_CTYPE"), env("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// paint colours signs, if the canvas may.
func (c *canvas) paint(signs string) string {
	if !c.colour || signs == "" {
		return signs
	}
	return "\x1b[36m" + signs + "\x1b[0m"
}

// plotted is one measure of an answer by group.
type plotted struct {
	measure string
	windows bool // rows have a time
	labels  []string
	shown   [][]string  // by label, the values as the table shows them
	values  [][]float64 // the same as numbers; NaN is null
}

// newPlotted gathers a measure of an answer. Rows of one group become one list, in the order of the answer.
func newPlotted(t *answerTable, measure string, dimensions int) (*plotted, error) {
	p := &plotted{measure: measure, windows: t.column("time") == 0}
	at := t.column(measure)
	keys := dimensions
	if p.windows {
		keys++
	}
	index := map[string]int{}
	for _, row := range t.rows {
		var parts []string
		for i := range keys {
			if i > 0 || !p.windows || dimensions == 0 {
				parts = append(parts, row[i].String())
			}
		}
		key := strings.Join(parts, "\x00") // A text as it is shown has no such sign.
		number := math.NaN()
		if !row[at].isNull {
			var err error
			if number, err = strconv.ParseFloat(row[at].text, 64); err != nil {
				return nil, usageError{fmt.Errorf("--plot: %s has values such as %s, which are no numbers; choose "+
					"another measure with -m", measure, row[at])}
			}
		}
		i, known := index[key]
		if !known {
			i = len(p.labels)
			index[key] = i
			p.labels = append(p.labels, strings.Join(parts, "  "))
			p.values = append(p.values, nil)
			p.shown = append(p.shown, nil)
		}
		p.values[i] = append(p.values[i], number)
		p.shown[i] = append(p.shown[i], row[at].String())
	}
	return p, nil
}

// draw draws bars, or a sparkline for each group if the answer has windows and groups.
func (p *plotted) draw(c *canvas, dimensions int) error {
	if p.windows && dimensions > 0 {
		return p.drawLines(c)
	}
	return p.drawBars(c)
}

// drawBars draws a line for each row: its label, its value, and a bar as long as the value's share of the greatest.
func (p *plotted) drawBars(c *canvas) error {
	labels := padRight(p.labels)
	var shown []string
	most := 0.0
	for i := range p.values {
		shown = append(shown, p.shown[i][0])
		if v := math.Abs(p.values[i][0]); v > most {
			most = v
		}
	}
	shown = padLeft(shown)
	for i := 0; i < len(labels); i++ {
		if left := p.alike(i); left > 0 {
			if _, err := fmt.Fprintf(c.out, "...  %d more windows alike\n", left); err != nil {
				return err
			}
			i += left
		}
		line := labels[i] + "  " + shown[i]
		if p.labels[i] == "" {
			line = shown[i]
		}
		bar := ""
		if room := c.width - utf8.RuneCountInString(line) - 2; most > 0 && !math.IsNaN(p.values[i][0]) {
			length := int(math.Round(math.Abs(p.values[i][0]) / most * float64(max(room, 8))))
			sign := c.bar
			if p.values[i][0] < 0 {
				sign = c.minus
			}
			bar = strings.Repeat(string(sign), length)
		}
		if _, err := fmt.Fprintln(c.out, strings.TrimRight(line+"  "+c.paint(bar), " ")); err != nil {
			return err
		}
	}
	return nil
}

// leastGap is how many windows without a bar are drawn as one line, after the first of them.
const leastGap = 3

// alike returns how many windows from i on are like the one before: without a bar, and of the same value. It is 0 for
// few of them, and never all that are left.
func (p *plotted) alike(i int) (n int) {
	isGap := func(i int) bool { return p.values[i][0] == 0 || math.IsNaN(p.values[i][0]) }
	if !p.windows || i == 0 || !isGap(i-1) {
		return 0
	}
	for i+n < len(p.values)-1 && isGap(i+n) && p.shown[i+n][0] == p.shown[i-1][0] {
		n++
	}
	if n < leastGap {
		return 0
	}
	return n
}

// drawLines draws a sparkline for each group. All have the same scale, from 0 or the least value to the greatest.
func (p *plotted) drawLines(c *canvas) error {
	low := 0.0
	high := 0.0
	for _, values := range p.values {
		for _, v := range values {
			if !math.IsNaN(v) {
				low = min(low, v)
				high = max(high, v)
			}
		}
	}
	labels := padRight(p.labels)
	var last []string
	for i := range p.shown {
		last = append(last, p.shown[i][len(p.shown[i])-1])
	}
	last = padLeft(last)
	most := 1
	for i := range labels {
		room := max(c.width-utf8.RuneCountInString(labels[i])-utf8.RuneCountInString(last[i])-4, 8)
		signs := c.sparkline(shrink(p.values[i], room), low, high)
		if _, err := fmt.Fprintf(c.out, "%s  %s  %s\n", labels[i], c.paint(signs), last[i]); err != nil {
			return err
		}
		most = max(most, perSign(len(p.values[i]), room))
	}
	if most > 1 {
		_, err := fmt.Fprintf(c.out, "a sign is the mean of %d windows\n", most)
		return err
	}
	return nil
}

// sparkline returns a sign for each value. Null is a space.
func (c *canvas) sparkline(values []float64, low, high float64) string {
	signs := make([]rune, len(values))
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			signs[i] = ' '
		case high == low:
			signs[i] = c.levels[0]
		default: // It is computed of numbers up to 1, because a difference of others may be beyond all numbers.
			most := max(high, -low)
			share := (v/most - low/most) / (high/most - low/most)
			signs[i] = c.levels[int(math.Round(share*float64(len(c.levels)-1)))]
		}
	}
	return string(signs)
}

// shrink returns at most room values. Each is the mean of as many neighbours as all others, but for the last.
func shrink(values []float64, room int) []float64 {
	n := perSign(len(values), room)
	if n <= 1 {
		return values
	}
	var out []float64
	for part := range slices.Chunk(values, n) {
		known := slices.DeleteFunc(slices.Clone(part), math.IsNaN)
		mean := math.NaN()
		if len(known) > 0 {
			mean = 0
		}
		for _, v := range known {
			mean += v / float64(len(known)) // A sum could be beyond all numbers.
		}
		out = append(out, mean)
	}
	return out
}

// perSign is how many of n values one sign stands for.
func perSign(n, room int) int { return (n + room - 1) / room }

// padRight makes texts as long as the longest, with spaces after them.
func padRight(texts []string) []string {
	return pad(texts, func(text, space string) string { return text + space })
}

// padLeft does the same with spaces before them, for numbers.
func padLeft(texts []string) []string {
	return pad(texts, func(text, space string) string { return space + text })
}

func pad(texts []string, join func(text, space string) string) []string {
	longest := 0
	for _, t := range texts {
		longest = max(longest, utf8.RuneCountInString(t))
	}
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = join(t, strings.Repeat(" ", longest-utf8.RuneCountInString(t)))
	}
	return out
}
