package openapi

import (
	"encoding/json"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

// View is a view as it is served.
type View struct {
	Name       string      `json:"name"`
	Event      string      `json:"event"`
	Cell       string      `json:"cell"`
	Dimensions []Dimension `json:"dimensions"`
	Measures   []Measure   `json:"measures"`
	Where      []Filter    `json:"where"`
	Digest     string      `json:"digest"`
	// Declaration is in the form of PUT and of the configuration file.
	Declaration json.RawMessage `json:"declaration"`
	// Published is the newest publication, or null if that has no batch view of this definition.
	Published *uint64 `json:"published"`
	// Fill is what the publication lacks of the view's history. It is absent if the view has all of it (B8).
	Fill *Fill `json:"fill,omitempty"`
}

// Fill says down to where a view is filled whose history is computed in steps.
type Fill struct {
	// FilledFrom is the beginning of the lowest bucket that is filled.
	FilledFrom time.Time `json:"filled_from"`
	// BucketsLeft is how many buckets have events before FilledFrom, and EventsLeft how many landed events are in them,
	// copies included.
	BucketsLeft int   `json:"buckets_left"`
	EventsLeft  int64 `json:"events_left"`
}

// Dimension is a dimension with its type.
type Dimension struct {
	Name string            `json:"name"`
	Type catalog.FieldType `json:"type"`
	// Cap is null for a bool, without limits.cardinality, and in a process without ingest.
	Cap *Cap `json:"cap"`
}

// Cap bounds how many values of a dimension a tenant may add in a UTC day. Further values are
// counted as ~overflow until the next publication, which decides anew (B7).
type Cap struct {
	Limit int `json:"limit"`
	// Values is how many values this process has seen on this day.
	Values int `json:"values"`
	// Overflowed is how many events of this day had a further value.
	Overflowed uint64 `json:"overflowed"`
}

// Measure is a measure with the type of its field.
type Measure struct {
	Name  string              `json:"name"`
	Kind  catalog.MeasureKind `json:"kind"`
	Field string              `json:"field,omitempty"`
	Type  catalog.FieldType   `json:"type"`
}

// Filter is a condition that events must meet to be counted.
type Filter struct {
	Field  string           `json:"field"`
	Op     catalog.FilterOp `json:"op"`
	Values []any            `json:"values"`
}

// FilterOf returns a filter of a field of type t as it is served, with timestamps as times instead of microseconds, and
// with decimals as texts instead of units.
func FilterOf(f catalog.Filter, t catalog.FieldType) Filter {
	values := slices.Clone(f.Values)
	d, isDecimal := t.Decimal()
	for i, v := range values {
		switch n, ok := v.(int64); {
		case ok && t == catalog.Timestamp:
			values[i] = time.UnixMicro(n).UTC()
		case ok && isDecimal:
			values[i] = decimal.Format(n, d.Scale)
		}
	}
	return Filter{Field: f.Field, Op: f.Op, Values: values}
}
