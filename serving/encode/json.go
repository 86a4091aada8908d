package encode

import (
	"encoding/json"
	"fmt"
	"io"

	"recount/schemas/catalog"
	"recount/serving/merge"
)

// flushBytes is how many bytes are buffered before they are written.
const flushBytes = 64 << 10

// JSON writes the answer as one JSON object.
func JSON(w io.Writer, a *merge.Answer) error {
	buf, err := appendRows(w, append(make([]byte, 0, flushBytes+4096), `{"rows":[`...), a)
	if err != nil {
		return err
	}
	accuracy, err := json.Marshal(a.Accuracy)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	buf = append(buf, ']')
	if a.Totals != nil {
		buf = append(append(buf, `,"totals":`...), Totals(a)...)
	}
	if a.Others != nil {
		if buf, err = appendRows(w, append(buf, `,"others":[`...), a.Others); err != nil {
			return err
		}
		buf = append(buf, ']')
	}
	if a.Next != "" {
		buf = appendString(append(buf, `,"next":`...), a.Next)
	}
	buf = append(buf, `,"accuracy":`...)
	buf = append(buf, accuracy...)
	if a.Explanation != nil {
		explanation, err := json.Marshal(a.Explanation)
		if err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		buf = append(append(buf, `,"explanation":`...), explanation...)
	}
	buf = append(buf, '}', '\n')
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// appendRows appends the rows of an answer with commas between them. It writes the buffer where that is long.
func appendRows(w io.Writer, buf []byte, a *merge.Answer) ([]byte, error) {
	e := newJSONRow(a)
	for i := range a.Rows() {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = e.append(buf, i)
		if len(buf) >= flushBytes {
			if _, err := w.Write(buf); err != nil {
				return nil, fmt.Errorf("write answer: %w", err)
			}
			buf = buf[:0]
		}
	}
	return buf, nil
}

// Totals returns the totals of an answer that has them, as a row of JSON.
func Totals(a *merge.Answer) []byte { return newJSONRow(a.Totals).append(nil, 0) }

// jsonRow appends the rows of one answer.
type jsonRow struct {
	a     *merge.Answer
	clock clock
	// dims and measures are the encoded keys, each in the form `"name":`.
	dims, measures [][]byte
	// hasMeasures is false if all numbers are derived, which have no live values.
	hasMeasures bool
	// previous appends the values of the earlier range. It is nil if the answer has none.
	previous *jsonRow
	// last is the end of each row.
	last string
}

func newJSONRow(a *merge.Answer) *jsonRow {
	e := &jsonRow{a: a, clock: clock{zone: a.Location}, last: "}"}
	for _, d := range a.Dims {
		e.dims = append(e.dims, append(appendString(nil, d.Name), ':'))
	}
	for _, m := range a.Measures {
		e.measures = append(e.measures, append(appendString(nil, m.Name), ':'))
		e.hasMeasures = e.hasMeasures || !m.IsDerived()
	}
	if a.Previous != nil {
		e.previous = newJSONRow(a.Previous)
	}
	return e
}

// append appends row i as an object.
func (e *jsonRow) append(dst []byte, i int) []byte {
	dst = append(dst, '{')
	open := len(dst)
	if e.a.Windowed {
		dst = append(dst, `"time":"`...)
		dst = append(e.clock.append(dst, e.a.Times[i]), '"')
	}
	for d := range e.a.Dims {
		dst = append(appendComma(dst, open), e.dims[d]...)
		dst = e.appendDim(dst, d, i)
	}
	for m := range e.a.Measures {
		dst = append(appendComma(dst, open), e.measures[m]...)
		dst = e.appendMeasure(dst, &e.a.Measures[m], &e.a.Measures[m].Value, i)
	}
	if e.a.IsLive(i) && e.hasMeasures {
		dst = e.appendLive(appendComma(dst, open), i)
	}
	dst = e.appendBounds(dst, i)
	switch {
	case e.previous == nil:
	case e.a.Previous.Missing[i]:
		dst = append(dst, `,"previous":null`...)
	default:
		dst = e.previous.append(append(dst, `,"previous":`...), i)
	}
	return append(dst, e.last...)
}

// appendComma appends a comma unless the object, which begins at open, is still empty.
func appendComma(dst []byte, open int) []byte {
	if len(dst) > open {
		return append(dst, ',')
	}
	return dst
}

func (e *jsonRow) appendDim(dst []byte, d, i int) []byte {
	c := &e.a.Dims[d].Column
	switch {
	case c.IsNull(i):
		return append(dst, "null"...)
	case c.Type == catalog.String:
		return appendString(dst, c.Strings[i])
	}
	return appendNumber(dst, c, i)
}

func (e *jsonRow) appendMeasure(dst []byte, m *merge.Measure, v *merge.Values, i int) []byte {
	switch {
	case v.Null[i]:
		return append(dst, "null"...)
	case m.Type == catalog.Timestamp, isDecimal(m.Type):
		return append(e.clock.appendValue(append(dst, '"'), m.Type, v, i), '"')
	}
	return e.clock.appendValue(dst, m.Type, v, i)
}

func (e *jsonRow) appendLive(dst []byte, i int) []byte {
	dst = append(dst, `"live":{`...)
	open := len(dst)
	for j := range e.a.Measures {
		if m := &e.a.Measures[j]; !m.IsDerived() && !m.Live.Null[i] {
			dst = append(appendComma(dst, open), e.measures[j]...)
			dst = e.appendMeasure(dst, m, &m.Live, i)
		}
	}
	return append(dst, '}')
}

func (e *jsonRow) appendBounds(dst []byte, i int) []byte {
	open := -1
	for j := range e.a.Measures {
		m := &e.a.Measures[j]
		if !m.Bounded(i) {
			continue
		}
		if open < 0 {
			dst = append(dst, `,"bounds":{`...)
			open = len(dst)
		}
		dst = append(append(appendComma(dst, open), e.measures[j]...), '[')
		dst = append(e.appendMeasure(dst, m, &m.Low, i), ',')
		dst = append(e.appendMeasure(dst, m, &m.High, i), ']')
	}
	if open < 0 {
		return dst
	}
	return append(dst, '}')
}
