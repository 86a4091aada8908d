package encode

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/query"
	"recount/serving/merge"
)

// appendString appends s as a JSON string. It does not escape HTML.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			var quoted bytes.Buffer
			e := json.NewEncoder(&quoted)
			e.SetEscapeHTML(false)
			if err := e.Encode(s); err != nil {
				return append(dst, `""`...) // Encode of a string does not fail.
			}
			return append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendFloat appends the shortest decimal that reads back as f, as encoding/json does.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// clock formats times of one zone. It remembers the last time, because rows of one window are
// mostly next to each other.
type clock struct {
	zone *time.Location
	last int64
	text []byte
}

func (c *clock) append(dst []byte, micros int64) []byte {
	if c.text == nil || micros != c.last {
		c.last = micros
		c.text = c.local(micros).AppendFormat(c.text[:0], time.RFC3339Nano)
	}
	return append(dst, c.text...)
}

// local returns the time in the zone. RFC 3339 has no seconds in offsets, so a time whose offset has seconds
// is in UTC. Otherwise it would read back as another time (Africa/Monrovia until 1972).
func (c *clock) local(micros int64) time.Time {
	t := time.UnixMicro(micros).In(c.zone)
	if _, offset := t.Zone(); offset%60 != 0 {
		return t.UTC()
	}
	return t
}

// appendValue appends a measure's value, which must not be null. Times and decimals have no quotes.
func (c *clock) appendValue(dst []byte, t catalog.FieldType, v *merge.Values, row int) []byte {
	switch t {
	case catalog.Float64:
		return appendFloat(dst, v.Floats[row])
	case catalog.Timestamp:
		return c.local(v.Ints[row]).AppendFormat(dst, time.RFC3339Nano)
	}
	if d, ok := decimal.ParseType(string(t)); ok {
		if v.Highs != nil {
			return decimal.AppendSum(dst, v.Highs[row], uint64(v.Ints[row]), d.Scale)
		}
		return decimal.Append(dst, v.Ints[row], d.Scale)
	}
	return strconv.AppendInt(dst, v.Ints[row], 10)
}

// appendNumber appends a dimension's value, which must not be null or a string.
func appendNumber(dst []byte, c *query.Column, row int) []byte {
	if c.Type == catalog.Bool {
		return strconv.AppendBool(dst, c.Ints[row] == 1)
	}
	return strconv.AppendInt(dst, c.Ints[row], 10)
}

// isDecimal reports whether values are decimals. In JSON they are texts: readers that take numbers for float64 would
// change their last digits.
func isDecimal(t catalog.FieldType) bool {
	_, is := decimal.ParseType(string(t))
	return is
}
