package conversion

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/instant"
	"recount/schemas/window"
)

// value is a stored value of any type.
type value struct {
	kind   kind
	text   string  // also the spelling of a number in JSON
	whole  int64   // also microseconds, and 1 for true
	number float64 // of a number that is not whole
}

type kind uint8

const (
	missing kind = iota
	text
	whole // a number that fits int64
	fraction
	truth
	moment
	other // an object, an array, or a number that fits no type
)

// valuesOf returns the value of each row of a column, which may be absent.
func valuesOf(column arrow.Array) func(row int) value {
	if column == nil {
		return func(int) value { return value{} }
	}
	at := typedValues(column)
	return func(row int) value {
		if column.IsNull(row) {
			return value{}
		}
		return at(row)
	}
}

func typedValues(column arrow.Array) func(row int) value {
	switch c := column.(type) {
	case *array.String:
		return func(row int) value { return value{kind: text, text: c.Value(row)} }
	case *array.Dictionary:
		values := typedValues(c.Dictionary())
		return func(row int) value { return values(c.GetValueIndex(row)) }
	case *array.Int64:
		return func(row int) value { return value{kind: whole, whole: c.Value(row)} }
	case *array.Float64:
		return func(row int) value { return numberOf(c.Value(row)) }
	case *array.Boolean:
		return func(row int) value { return truthOf(c.Value(row)) }
	case *array.Timestamp:
		return func(row int) value { return value{kind: moment, whole: int64(c.Value(row))} }
	}
	return func(int) value { return value{} }
}

func truthOf(b bool) value {
	v := value{kind: truth}
	if b {
		v.whole = 1
	}
	return v
}

// numberOf returns a float64 as a whole number if it is one.
func numberOf(f float64) value {
	if f == math.Trunc(f) && f >= math.MinInt64 && f < -math.MinInt64 {
		return value{kind: whole, whole: int64(f)}
	}
	return value{kind: fraction, number: f}
}

// Bounds of a number that is evaluated exactly. Those of ingest are the same.
const (
	maxDigits   = 64
	maxExponent = 1000
)

// parseNumber reads a number as JSON has it. It returns no value if s is not one, or if it fits no type.
func parseNumber(s string) value {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') || s[len(s)-1] > '9' || !json.Valid([]byte(s)) {
		return value{}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return value{kind: whole, whole: n}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return value{}
	}
	// The float64 that is nearest to a whole number of this size is whole too.
	if f == math.Trunc(f) && math.Abs(f) <= 1<<63 {
		if n, ok := exactWhole(s); ok {
			return value{kind: whole, whole: n}
		}
	}
	return value{kind: fraction, number: f}
}

// exactWhole evaluates a number without rounding.
func exactWhole(s string) (int64, bool) {
	r, ok := rational(s)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// isSmall reports whether an exponent is small enough for a number to be evaluated.
func isSmall(exponent string) bool {
	e, err := strconv.Atoi(exponent)
	return err == nil && e <= maxExponent && e >= -maxExponent
}

func (v value) asText() (string, bool) {
	switch v.kind {
	case text:
		return v.text, true
	case whole:
		return strconv.FormatInt(v.whole, 10), true
	case fraction:
		s := formatNumber(v.number)
		return s, v.text == "" || isExact(v.text, s)
	case truth:
		return strconv.FormatBool(v.whole == 1), true
	}
	return "", false
}

// formatNumber spells a number as encoding/json does.
func formatNumber(f float64) string {
	b, err := json.Marshal(f)
	if err != nil {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return string(b)
}

func (v value) asWhole() (int64, bool) {
	if v.kind == text {
		v = parseNumber(v.text)
	}
	return v.whole, v.kind == whole
}

func (v value) asNumber() (float64, bool) {
	if v.kind == text {
		v = parseNumber(v.text)
	}
	if v.kind == whole {
		return float64(v.whole), true
	}
	return v.number, v.kind == fraction
}

func (v value) asTruth() (bool, bool) {
	if v.kind == text {
		return v.text == "true", v.text == "true" || v.text == "false"
	}
	return v.whole == 1, v.kind == truth
}

func (v value) asMoment() (arrow.Timestamp, bool) {
	if v.kind == text {
		t, err := instant.Parse([]byte(v.text))
		return arrow.Timestamp(t), err == nil && t >= window.MinTime && t <= window.MaxTime
	}
	return arrow.Timestamp(v.whole), v.kind == moment
}
