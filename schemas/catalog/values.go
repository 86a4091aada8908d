package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"recount/schemas/decimal"
	"recount/schemas/instant"
)

// Normalize turns a value as YAML or JSON gives it (string, int, int64, float64, bool, or a json.Number that is no
// integer) into the Go type columns of type t hold: string, int64, float64, bool, int64 microseconds since 1970 for an
// RFC 3339 timestamp, or int64 units of the last digit for a decimal. A number that is not finite has no such value.
func Normalize(v any, t FieldType) (any, error) {
	if d, ok := t.Decimal(); ok {
		return normalizeDecimal(v, d)
	}
	switch x := v.(type) {
	case json.Number:
		f, err := x.Float64()
		if err != nil {
			return nil, fmt.Errorf("%v is not %s", v, t)
		}
		return Normalize(f, t)
	case int:
		return Normalize(int64(x), t)
	case int64:
		if t == Float64 {
			return float64(x), nil
		}
		if t == Int64 {
			return x, nil
		}
	case float64:
		if t == Float64 && finite(x) {
			return x, nil
		}
		if t == Int64 && x == float64(int64(x)) && x < 1<<53 && x > -(1<<53) {
			return int64(x), nil
		}
	case time.Time:
		if t == Timestamp {
			return x.UnixMicro(), nil
		}
	case string:
		if t == Timestamp {
			micros, err := instant.Parse([]byte(x))
			if err != nil {
				return nil, fmt.Errorf("%q %w", x, err)
			}
			return micros, nil
		}
		if t == String {
			return x, nil
		}
		return nil, fmt.Errorf("the text %.80q is not %s", x, t) // "7" and 7 are easily confused.
	case bool:
		if t == Bool {
			return x, nil
		}
	}
	return nil, fmt.Errorf("%v is not %s", v, t)
}

// normalizeDecimal reads the text of a number. A float64 is refused, because it may not be the number that was written.
func normalizeDecimal(v any, t decimal.Type) (any, error) {
	var text string
	switch x := v.(type) {
	case string:
		text = x
	case json.Number:
		text = x.String()
	case int, int64:
		text = fmt.Sprint(x)
	default:
		return nil, fmt.Errorf("%v is not %s; write it in quotes, such as \"12.34\"", v, t)
	}
	units, err := decimal.Parse(text, t)
	if err != nil {
		return nil, fmt.Errorf("%.80q is not %s: %w", text, t, err)
	}
	return units, nil
}

// finite reports whether a number can be a field's value. JSON, and so an event and the digest of a view, has no
// form for the others.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Zero returns the zero value of the Go type that columns of type t hold.
func Zero(t FieldType) any {
	switch t {
	case Int64, Timestamp:
		return int64(0)
	case Float64:
		return float64(0)
	case Bool:
		return false
	}
	if t.IsDecimal() {
		return int64(0)
	}
	return ""
}
