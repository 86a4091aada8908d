package encode

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"recount/schemas/catalog"
	"recount/serving/merge"
)

// Columns returns the names of the columns of CSV and Arrow, in order.
func Columns(a *merge.Answer) []string {
	var names []string
	if a.Windowed {
		names = append(names, "time")
	}
	for _, d := range a.Dims {
		names = append(names, d.Name)
	}
	for _, m := range a.Measures {
		names = append(names, m.Name)
	}
	for i := range a.Measures {
		m := &a.Measures[i]
		if !m.IsDerived() {
			names = append(names, m.Name+"__live")
		}
		if m.Estimated {
			names = append(names, m.Name+"__low", m.Name+"__high")
		}
	}
	for _, m := range previous(a) {
		names = append(names, m.Name+"__previous")
	}
	if a.Others != nil {
		names = append(names, othersColumn)
	}
	return names
}

// othersColumn is the column that says whether a row is one of the others. It is there if the answer has any.
const othersColumn = "__others"

// tables returns the answer, and its others if the query asks for them. Both have the same columns, but the others no
// dimensions.
func tables(a *merge.Answer) []*merge.Answer {
	if a.Others == nil {
		return []*merge.Answer{a}
	}
	return []*merge.Answer{a, a.Others}
}

// previous returns the measures of the earlier range, if the answer has one.
func previous(a *merge.Answer) []merge.Measure {
	if a.Previous == nil {
		return nil
	}
	return a.Previous.Measures
}

// CSV writes the answer's rows.
func CSV(w io.Writer, a *merge.Answer) error {
	buf := append([]byte(strings.Join(Columns(a), ",")), "\r\n"...)
	for _, rows := range tables(a) {
		e := &csvRow{a: rows, clock: clock{zone: a.Location}, missing: strings.Repeat(",", len(a.Dims)-len(rows.Dims))}
		if a.Others != nil {
			e.last = strconv.FormatBool(rows == a.Others) + ","
		}
		for i := range rows.Rows() {
			buf = e.append(buf, i)
			if len(buf) >= flushBytes {
				if _, err := w.Write(buf); err != nil {
					return fmt.Errorf("write answer: %w", err)
				}
				buf = buf[:0]
			}
		}
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

type csvRow struct {
	a     *merge.Answer
	clock clock
	// missing is in the place of dimensions that the rows lack, and last follows the measures.
	missing, last string
}

// append appends row i. Each field is followed by a comma, and the last comma is replaced by CRLF. A null in the only
// column is "", because readers skip an empty line. It cannot be taken for a text: a column alone is a derived number.
func (e *csvRow) append(dst []byte, i int) []byte {
	begin := len(dst)
	if e.a.Windowed {
		dst = append(e.clock.append(dst, e.a.Times[i]), ',')
	}
	for d := range e.a.Dims {
		dst = append(e.appendDim(dst, d, i), ',')
	}
	dst = append(dst, e.missing...)
	for j := range e.a.Measures {
		m := &e.a.Measures[j]
		dst = append(e.appendMeasure(dst, m, &m.Value, i), ',')
	}
	for j := range e.a.Measures {
		dst = e.appendAccuracy(dst, &e.a.Measures[j], i)
	}
	for _, m := range previous(e.a) {
		dst = append(e.appendMeasure(dst, &m, &m.Value, i), ',')
	}
	dst = append(dst, e.last...)
	if dst = dst[:len(dst)-1]; len(dst) == begin {
		dst = append(dst, `""`...)
	}
	return append(dst, "\r\n"...)
}

// appendAccuracy appends the live part and the bounds of a measure.
func (e *csvRow) appendAccuracy(dst []byte, m *merge.Measure, i int) []byte {
	if !m.IsDerived() {
		if e.a.IsLive(i) {
			dst = e.appendMeasure(dst, m, &m.Live, i)
		}
		dst = append(dst, ',')
	}
	if !m.Estimated {
		return dst
	}
	if !m.Bounded(i) {
		return append(dst, ",,"...)
	}
	dst = append(e.clock.appendValue(dst, m.Type, &m.Low, i), ',')
	return append(e.clock.appendValue(dst, m.Type, &m.High, i), ',')
}

func (e *csvRow) appendMeasure(dst []byte, m *merge.Measure, v *merge.Values, i int) []byte {
	if v.Null[i] {
		return dst
	}
	return e.clock.appendValue(dst, m.Type, v, i)
}

func (e *csvRow) appendDim(dst []byte, d, i int) []byte {
	c := &e.a.Dims[d].Column
	switch {
	case c.IsNull(i):
		return dst
	case c.Type != catalog.String:
		return appendNumber(dst, c, i)
	}
	s := c.Strings[i]
	if s != "" && !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}
