package conversion

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
	"recount/schemas/instant"
	"recount/schemas/window"
)

// value is a stored value of any type.
type value struct {
	kind   kind
	text   string  // also the spelling of a number in JSON
	whole  int64   // also microseconds, 1 for true, and the units of a decimal
	number float64 // of a number that is not whole, and of a float64
	scale  int     // of a decimal: how many digits follow the point
	float  bool    // a float64, which has lost how its number was spelled
}

type kind uint8

const (
	missing kind = iota
	text
	whole // a number that fits int64
	fraction
	truth
	moment
	units // a decimal
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
		if d, ok := c.DataType().(*eventbatch.DecimalType); ok {
			return func(row int) value { return value{kind: units, whole: c.Value(row), scale: d.Scale} }
		}
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
	v := value{kind: truth, text: strconv.FormatBool(b)}
	if b {
		v.whole = 1
	}
	return v
}

// numberOf returns a float64 as a whole number if it is one.
func numberOf(f float64) value {
	if f == math.Trunc(f) && f >= math.MinInt64 && f < -math.MinInt64 {
		return value{kind: whole, whole: int64(f), number: f, float: true}
	}
	return value{kind: fraction, number: f, float: true}
}

// Bounds of a number that is evaluated exactly. Those of ingest are the same.
const (
	maxDigits   = 64 // without zeros before them
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
	n, ok := evaluate(s)
	if !ok || n.power < 0 || len(n.digits)+n.power > len("9223372036854775807") {
		return 0, false
	}
	sign := ""
	if n.negative {
		sign = "-"
	}
	whole, err := strconv.ParseInt(sign+"0"+n.digits+strings.Repeat("0", n.power), 10, 64)
	return whole, err == nil
}

// scientific is a number as its digits, without zeros at either end, times ten to the power. Zero has no digits. Equal
// numbers are equal.
type scientific struct {
	digits   string
	power    int
	negative bool
}

// evaluate reads a number in JSON. It evaluates those that ingest does, of whatever length their spelling is.
func evaluate(s string) (n scientific, ok bool) {
	s, n.negative = strings.CutPrefix(s, "-")
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(s), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return scientific{}, true
	}
	if scaled {
		power, err := strconv.Atoi(exponent)
		if err != nil || power > maxExponent || power < -maxExponent {
			return scientific{}, false
		}
		n.power = power
	}
	n.digits = strings.TrimRight(digits, "0")
	n.power += len(digits) - len(n.digits) - len(fraction)
	return n, len(digits) <= maxDigits
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
	case units:
		return v.digits(), true
	}
	return "", false
}

// digits spells a decimal.
func (v value) digits() string { return decimal.Format(v.whole, v.scale) }

// formatNumber spells a number as encoding/json does.
func formatNumber(f float64) string {
	b, err := json.Marshal(f)
	if err != nil {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return string(b)
}

func (v value) asWhole() (int64, bool) {
	switch v.kind {
	case text:
		v = parseNumber(v.text)
	case units:
		return v.whole / decimal.Power(v.scale), v.whole%decimal.Power(v.scale) == 0
	}
	return v.whole, v.kind == whole
}

func (v value) asNumber() (float64, bool) {
	switch v.kind {
	case text:
		v = parseNumber(v.text)
	case units:
		v = parseNumber(v.digits())
	}
	if v.kind == whole {
		return float64(v.whole), true
	}
	return v.number, v.kind == fraction
}

// asUnits returns the function that converts to a decimal: the number itself, or nothing. A float64 column has lost how
// its numbers were spelled. Its number is taken for the one decimal with so few digits that it is nearest to.
func asUnits(t decimal.Type) func(value) (int64, bool) {
	return func(v value) (int64, bool) {
		number := v.text // of a text, and of a number in JSON
		switch {
		case v.kind == units:
			return decimal.Rescale(v.whole, decimal.Type{Precision: decimal.MaxPrecision, Scale: v.scale}, t)
		case v.kind != text && v.kind != whole && v.kind != fraction:
			return 0, false
		case v.float:
			number = strconv.FormatFloat(v.number, 'e', -1, 64)
			if significant(number) > floatDigits {
				return 0, false
			}
		case v.kind == whole && number == "":
			number = strconv.FormatInt(v.whole, 10)
		}
		units, err := decimal.Parse(number, t)
		return units, err == nil
	}
}

// floatDigits is how many digits of a decimal number a float64 always keeps. Two numbers of so few digits are never
// nearest to the same one.
const floatDigits = 15

// significant returns how many digits a number in scientific notation has before its exponent.
func significant(number string) int {
	digits, _, _ := strings.Cut(number, "e")
	return len(strings.Trim(digits, "-")) - strings.Count(digits, ".")
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
