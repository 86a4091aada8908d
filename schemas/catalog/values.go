package catalog

import (
	"fmt"
	"math"
	"time"

	"recount/schemas/instant"
)

// Normalize turns a value as YAML or JSON gives it (string, int, int64, float64,
// bool) into the Go type columns of type t hold: string, int64, float64, bool, or
// int64 microseconds since 1970 for an RFC 3339 timestamp. A number that is not finite has no such value.
func Normalize(v any, t FieldType) (any, error) {
	switch x := v.(type) {
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
	case bool:
		if t == Bool {
			return x, nil
		}
	}
	return nil, fmt.Errorf("%v is not %s", v, t)
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
	return ""
}
