package batchview

import (
	"fmt"

	"recount/schemas/window"
)

// cellMicros is the expression of a cell's start in microseconds since 1970.
const cellMicros = "toUnixTimestamp64Micro(time)"

// toMicros returns the expression of a column's time in microseconds since 1970.
func toMicros(column string) string { return "toUnixTimestamp64Micro(" + column + ")" }

// windowIndex returns the expression of a window's index for a time in [From, To), in microseconds. It equals
// window.Windows.Index: within a run of windows of one width, a division gives the index.
func windowIndex(w window.Windows, micros string) string {
	if w.Len() == 1 {
		return "toInt32(0)"
	}
	runs := w.Runs()
	if len(runs) == 1 {
		return fmt.Sprintf("toInt32(intDiv(%s - %d, %d))", micros, runs[0].Start, runs[0].Width)
	}
	var starts, first, widths []int64
	for _, r := range runs {
		starts = append(starts, r.Start)
		first = append(first, int64(r.First))
		widths = append(widths, r.Width)
	}
	runStarts := array(starts)
	run := "roundDown(" + micros + ", " + runStarts + ")"
	pick := func(values []int64) string {
		return "transform(" + run + ", " + runStarts + ", " + array(values) + ", toInt64(1))"
	}
	return "toInt32(" + pick(first) + " + intDiv(" + micros + " - " + run + ", " + pick(widths) + "))"
}

// span is a half-open range of event time.
type span struct{ from, to int64 }

// maxSpans bounds the ranges of one statement. If there are more, one range that covers them is read.
const maxSpans = 16

// spansOf returns the ranges of event time in [From, To) that the windows cover. The windows must
// be ascending.
func spansOf(w window.Windows, indexes []int32) []span {
	var out []span
	for _, i := range indexes {
		var s span
		s.from, s.to = w.Span(int(i))
		if n := len(out); n > 0 && out[n-1].to == s.from {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	if len(out) > maxSpans {
		return []span{{out[0].from, out[len(out)-1].to}}
	}
	return out
}
