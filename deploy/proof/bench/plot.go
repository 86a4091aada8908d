package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The sizes of a plot in pixels.
const (
	panelColumns = 4
	panelWidth   = 260
	panelHeight  = 170
	plotLeft     = 52
	plotTop      = 36
	plotWidth    = 190
	plotHeight   = 96
)

// plot draws one panel for each figure as SVG. Both axes are logarithmic. The dashed line grows as the quantity does:
// a figure that is steeper grows faster than the work.
func plot(title, label string, names []string, points []point) []byte {
	var b bytes.Buffer
	rows := (len(names) + panelColumns - 1) / panelColumns
	height := rows*panelHeight + 56
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" `+
		`font-size="10">`+"\n", panelColumns*panelWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n"+
		`<text x="12" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(title))
	for i, name := range names {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i%panelColumns*panelWidth,
			28+i/panelColumns*panelHeight)
		panel(&b, name, points)
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, `<text x="12" y="%d">Across: %s. Both axes are logarithmic. Dashed: as fast as the quantity.`+
		"</text>\n</svg>\n", height-10, html.EscapeString(label))
	return b.Bytes()
}

// panel draws one figure.
func panel(b *bytes.Buffer, name string, points []point) {
	fmt.Fprintf(b, `<text x="%d" y="24">%s</text>`+"\n", plotLeft-40, html.EscapeString(name))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#bbb"/>`+"\n", plotLeft, plotTop,
		plotWidth, plotHeight)
	low := math.Inf(1)
	high := math.Inf(-1)
	for _, p := range points {
		low = min(low, max(p.figures[name], 1e-3))
		high = max(high, max(p.figures[name], 1e-3))
	}
	if len(points) == 0 {
		return
	}
	// At least one power of ten is shown, so that noise does not look like growth.
	bottom := math.Log10(low)
	top := max(math.Log10(high), bottom+1)
	first := math.Log10(points[0].value)
	last := max(math.Log10(points[len(points)-1].value), first+1e-9)
	x := func(v float64) float64 { return plotLeft + plotWidth*(math.Log10(v)-first)/(last-first) }
	y := func(v float64) float64 {
		return plotTop + plotHeight*(1-(math.Log10(max(v, 1e-3))-bottom)/(top-bottom))
	}
	// The dashed line starts at the first point, and leaves the panel where the figure's axis ends.
	begin := math.Log10(max(points[0].figures[name], 1e-3))
	end := min(last, first+top-begin)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#999" stroke-dasharray="3 3"/>`+"\n",
		x(points[0].value), y(points[0].figures[name]), x(math.Pow(10, end)), y(math.Pow(10, begin+end-first)))
	b.WriteString(`<polyline fill="none" stroke="#1f6fb4" stroke-width="1.5" points="`)
	for _, p := range points {
		fmt.Fprintf(b, "%.1f,%.1f ", x(p.value), y(p.figures[name]))
	}
	b.WriteString(`"/>` + "\n")
	for i, p := range points {
		v := p.figures[name]
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="#1f6fb4"><title>%s: %s</title></circle>`+"\n",
			x(p.value), y(v), short(p.value), figure(v))
		if i == 0 || i == len(points)-1 {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(p.value),
				plotTop+plotHeight+12, short(p.value))
		}
	}
	for _, v := range []float64{low, high} {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-4, y(v)+3, figure(v))
	}
}

// short writes a large number with a letter.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, " M"}, {1e3, " k"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.4g%s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.4g", v)
}
