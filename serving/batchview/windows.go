package batchview

import (
	"fmt"

	"recount/schemas/window"
)

// cellMicros is the expression of a cell's start in microseconds since 1970.
const cellMicros = "toUnixTimestamp64Micro(time)"

// windowIndex returns the expression of a window's index for a cell in [From, To). It equals
// window.Windows.Index. Neighbouring windows of one width are a run, in which a division gives
// the index. Uneven windows (months, days of 23 hours) are several runs.
func windowIndex(w window.Windows) string {
	if len(w.Starts) == 1 {
		return "toInt32(0)"
	}
	if w.Step() > 0 {
		return fmt.Sprintf("toInt32(intDiv(%s - %d, %d))", cellMicros, w.Starts[0], w.Step())
	}
	starts, first, widths := windowRuns(w)
	runStarts := array(starts)
	run := "roundDown(" + cellMicros + ", " + runStarts + ")"
	pick := func(values []int64) string {
		return "transform(" + run + ", " + runStarts + ", " + array(values) + ", toInt64(1))"
	}
	return "toInt32(" + pick(first) + " + intDiv(" + cellMicros + " - " + run + ", " + pick(widths) + "))"
}

// windowRuns returns, for each run of windows of equal width, its start, the index of its first
// window and the width. The last window is wide enough to contain To.
func windowRuns(w window.Windows) (starts, first, widths []int64) {
	for i, s := range w.Starts {
		width := max(w.To-s, 1)
		if i+1 < len(w.Starts) {
			width = w.Starts[i+1] - s
		}
		if n := len(widths); n == 0 || widths[n-1] != width {
			starts = append(starts, s)
			first = append(first, int64(i))
			widths = append(widths, width)
		}
	}
	return starts, first, widths
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
		s := span{max(w.Starts[i], w.From), w.To}
		if int(i)+1 < len(w.Starts) {
			s.to = min(w.Starts[i+1], w.To)
		}
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
