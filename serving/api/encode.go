package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/serving/merge"
)

// formats are what an answer can be written as, the default first.
var formats = []struct {
	media  string
	encode encoder
}{
	{"application/json", encodeJSON},
	{"text/csv", encodeCSV},
	{"application/vnd.apache.arrow.stream", encodeArrow},
}

// encoderFor chooses the first acceptable format in the client's order. Weights
// other than 0 are not compared: clients list what they want first.
func encoderFor(accept []string) (encoder, string, *problem) {
	if len(accept) == 0 {
		return formats[0].encode, formats[0].media, nil
	}
	for _, one := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(one))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, f := range formats {
			if media == f.media || media == "*/*" || media == strings.SplitN(f.media, "/", 2)[0]+"/*" {
				return f.encode, f.media, nil
			}
		}
	}
	return nil, "", &problem{Status: http.StatusNotAcceptable, Code: "not_acceptable", Detail: "an answer is application/json, text/csv or application/vnd.apache.arrow.stream"}
}

const encodeBuffer = 64 << 10

// encodeJSON writes {"rows":[…],"accuracy":{…}}, a row at a time.
func encodeJSON(w http.ResponseWriter, a *merge.Answer) error {
	out := bufio.NewWriterSize(w, encodeBuffer)
	names := newNames(a)
	_, _ = out.WriteString(`{"rows":[`) // A failed write makes Flush fail.
	for row := range a.Rows() {
		b := out.AvailableBuffer()
		if row > 0 {
			b = append(b, ',')
		}
		if _, err := out.Write(appendRow(b, a, names, row)); err != nil {
			return err
		}
	}
	accuracy, err := json.Marshal(a.Accuracy)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `],"accuracy":%s}`+"\n", accuracy)
	return out.Flush()
}

// names are the keys of a row with their quotes and colon.
type names struct{ dims, measures [][]byte }

func newNames(a *merge.Answer) names {
	var n names
	for _, d := range a.Dims {
		n.dims = append(n.dims, append(appendString(nil, d.Name), ':'))
	}
	for _, m := range a.Measures {
		n.measures = append(n.measures, append(appendString(nil, m.Name), ':'))
	}
	return n
}

func appendRow(b []byte, a *merge.Answer, n names, row int) []byte {
	b = append(b, '{')
	if a.Windowed {
		b = appendTime(append(b, `"time":`...), a.Times[row], a.Location)
		b = append(b, ',')
	}
	for i := range a.Dims {
		b = append(appendDim(append(b, n.dims[i]...), &a.Dims[i], row), ',')
	}
	bounded := false
	for i := range a.Measures {
		m := &a.Measures[i]
		b = append(appendValue(append(b, n.measures[i]...), m, &m.Value, row, a.Location), ',')
		bounded = bounded || m.Bounded(row)
	}
	if a.IsLive(row) {
		b = append(b, `"live":{`...)
		for i := range a.Measures {
			m := &a.Measures[i]
			b = append(appendValue(append(b, n.measures[i]...), m, &m.Live, row, a.Location), ',')
		}
		b = append(closeObject(b), ',')
	}
	if bounded {
		b = append(appendBounds(append(b, `"bounds":`...), a, n, row), ',')
	}
	return closeObject(b)
}

// closeObject replaces the comma behind the last member.
func closeObject(b []byte) []byte {
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

func appendBounds(b []byte, a *merge.Answer, n names, row int) []byte {
	b = append(b, '{')
	for i := range a.Measures {
		if m := &a.Measures[i]; m.Bounded(row) {
			b = fmt.Appendf(append(b, n.measures[i]...), "[%d,%d],", m.Low[row], m.High[row])
		}
	}
	return closeObject(b)
}

func appendDim(b []byte, d *merge.Dimension, row int) []byte {
	switch {
	case d.IsNull(row):
		return append(b, "null"...)
	case d.Type == catalog.String:
		return appendString(b, d.Strings[row])
	case d.Type == catalog.Bool:
		return strconv.AppendBool(b, d.Ints[row] != 0)
	}
	return strconv.AppendInt(b, d.Ints[row], 10)
}

func appendValue(b []byte, m *merge.Measure, v *merge.Values, row int, loc *time.Location) []byte {
	switch {
	case v.Null[row]:
		return append(b, "null"...)
	case m.Type == catalog.Float64:
		return appendFloat(b, v.Floats[row])
	case m.Type == catalog.Timestamp:
		return appendTime(b, v.Ints[row], loc)
	}
	return strconv.AppendInt(b, v.Ints[row], 10)
}

func appendTime(b []byte, micros int64, loc *time.Location) []byte {
	b = time.UnixMicro(micros).In(loc).AppendFormat(append(b, '"'), time.RFC3339Nano)
	return append(b, '"')
}

// appendFloat writes the shortest form that reads back as f, as encoding/json does.
func appendFloat(b []byte, f float64) []byte {
	raw, err := json.Marshal(f)
	if err != nil {
		return append(b, "null"...) // Merge lets no NaN or infinity through.
	}
	return append(b, raw...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // A string always encodes.
			}
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// encodeCSV writes a header and a line a row: time, dimensions, measures, and for a
// distinct measure with sketch error in some row NAME_low and NAME_high. Null is
// empty. The accuracy block stands in headers that begin with Recount-.
func encodeCSV(w http.ResponseWriter, a *merge.Answer) error {
	accuracyHeaders(w.Header(), &a.Accuracy)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	bounded := make([]bool, len(a.Measures))
	for i := range a.Measures {
		for row := range a.Rows() {
			bounded[i] = bounded[i] || a.Measures[i].Bounded(row)
		}
	}
	if err := out.Write(csvHeader(a, bounded)); err != nil {
		return err
	}
	var line []string
	for row := range a.Rows() {
		line = csvLine(line[:0], a, bounded, row)
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func csvHeader(a *merge.Answer, bounded []bool) []string {
	var h []string
	if a.Windowed {
		h = append(h, "time")
	}
	for _, d := range a.Dims {
		h = append(h, d.Name)
	}
	for i, m := range a.Measures {
		h = append(h, m.Name)
		if bounded[i] {
			h = append(h, m.Name+"_low", m.Name+"_high")
		}
	}
	return h
}

func csvLine(line []string, a *merge.Answer, bounded []bool, row int) []string {
	if a.Windowed {
		line = append(line, unquote(appendTime(nil, a.Times[row], a.Location)))
	}
	for i := range a.Dims {
		d := &a.Dims[i]
		switch {
		case d.IsNull(row):
			line = append(line, "")
		case d.Type == catalog.String:
			line = append(line, d.Strings[row])
		default:
			line = append(line, string(appendDim(nil, d, row)))
		}
	}
	for i := range a.Measures {
		m := &a.Measures[i]
		text := ""
		if !m.Value.Null[row] {
			text = unquote(appendValue(nil, m, &m.Value, row, a.Location))
		}
		line = append(line, text)
		if bounded[i] {
			line = append(line, strconv.FormatInt(m.Low[row], 10), strconv.FormatInt(m.High[row], 10))
		}
	}
	return line
}

func unquote(b []byte) string { return strings.Trim(string(b), `"`) }

func accuracyHeaders(h http.Header, acc *merge.Accuracy) {
	h.Set("Recount-Publication", strconv.FormatUint(acc.Publication, 10))
	h.Set("Recount-Cut", joinNumbers(acc.Cut))
	h.Set("Recount-Through", joinNumbers(acc.Through))
	h.Set("Recount-Pending-Events", strconv.FormatUint(acc.PendingEvents, 10))
	h.Set("Recount-Exact", strconv.FormatBool(acc.Exact))
	h.Set("Recount-Complete", strconv.FormatBool(acc.Complete))
	h.Set("Recount-Truncated", strconv.FormatBool(acc.Truncated))
}

func joinNumbers(n []uint64) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", ","), "[]") }
