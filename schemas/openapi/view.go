package openapi

import "recount/schemas/catalog"

// View is a view as it is served.
type View struct {
	Name       string      `json:"name"`
	Event      string      `json:"event"`
	Cell       string      `json:"cell"`
	Dimensions []Dimension `json:"dimensions"`
	Measures   []Measure   `json:"measures"`
	Where      []Filter    `json:"where"`
	Digest     string      `json:"digest"`
	Published  *uint64     `json:"published"` // the newest publication, when it has a batch view of this definition
}

// Dimension is a dimension with its type.
type Dimension struct {
	Name string            `json:"name"`
	Type catalog.FieldType `json:"type"`
	Cap  *Cap              `json:"cap"` // null for a bool, without limits.cardinality, and where no events are taken in
}

// Cap bounds the values a dimension gets from the tenant in a UTC day. Beyond it they are counted as ~overflow.
type Cap struct {
	Limit      int    `json:"limit"`
	Values     int    `json:"values"`     // of this day, as the process knows that answers
	Overflowed uint64 `json:"overflowed"` // events of this day that brought one too many
}

// Measure is a measure with the type of its field.
type Measure struct {
	Name  string              `json:"name"`
	Kind  catalog.MeasureKind `json:"kind"`
	Field string              `json:"field,omitempty"`
	Type  catalog.FieldType   `json:"type"`
}

// Filter is one condition events must meet to be counted.
type Filter struct {
	Field  string           `json:"field"`
	Op     catalog.FilterOp `json:"op"`
	Values []any            `json:"values"`
}
