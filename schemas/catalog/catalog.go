// Package catalog holds what the operator declares: event types with typed
// fields, and views over them. It validates declarations, gives each a digest
// that names exactly what is computed, and says which changes stored data allows.
package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/decimal"
)

// FieldType is the type of a field of an event. Every field may be missing (null).
type FieldType string

// The field types. A timestamp is RFC 3339 in JSON and microseconds since 1970 in columns.
const (
	String    FieldType = "string"
	Int64     FieldType = "int64"
	Float64   FieldType = "float64"
	Bool      FieldType = "bool"
	Timestamp FieldType = "timestamp"
)

// FieldTypes lists the field types that are one word, in the order documentation shows them. Decimal types come beside
// them.
var FieldTypes = []FieldType{String, Int64, Float64, Bool, Timestamp}

// DecimalForm is how documentation and messages name the decimal types.
const DecimalForm = "decimal(DIGITS,SCALE)"

// DecimalOf returns the type of decimal numbers. In columns they are int64 and count units of the last digit.
func DecimalOf(t decimal.Type) FieldType { return FieldType(t.String()) }

// Decimal returns what a decimal type is. ok is false for other types, and for one that no field can have.
func (t FieldType) Decimal() (d decimal.Type, ok bool) {
	d, ok = decimal.ParseType(string(t))
	return d, ok && d.Valid()
}

// IsDecimal reports whether the type is a decimal one.
func (t FieldType) IsDecimal() bool {
	_, ok := t.Decimal()
	return ok
}

// IsKnown reports whether a field can be declared with the type.
func (t FieldType) IsKnown() bool { return slices.Contains(FieldTypes, t) || t.IsDecimal() }

// IsNumber reports whether values of the type can be added up.
func (t FieldType) IsNumber() bool { return t == Int64 || t == Float64 || t.IsDecimal() }

// EventType is a declared schema. Fields are sorted by name, so that the order
// of declaration never changes a digest or a column order.
type EventType struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"`
}

// MeasureKind is the aggregation of a measure.
type MeasureKind string

// The measure kinds.
const (
	Count    MeasureKind = "count"
	Sum      MeasureKind = "sum"
	Min      MeasureKind = "min"
	Max      MeasureKind = "max"
	Avg      MeasureKind = "avg"
	Distinct MeasureKind = "distinct"
	Quantile MeasureKind = "quantile"
)

// MeasureKinds lists the measure kinds in the order documentation shows them.
var MeasureKinds = []MeasureKind{Count, Sum, Min, Max, Avg, Distinct, Quantile}

// Measure is one number a view keeps. Field is empty for Count.
type Measure struct {
	Name  string      `json:"name"`
	Kind  MeasureKind `json:"kind"`
	Field string      `json:"field,omitempty"`
}

// FilterOp is a comparison of a view's row filter.
type FilterOp string

// The filter operators. Ne and NotIn are the exact complements of Eq and In, so a
// missing field satisfies them; Lt, Le, Gt and Ge are false for a missing field.
const (
	Eq     FilterOp = "eq"
	Ne     FilterOp = "ne"
	Lt     FilterOp = "lt"
	Le     FilterOp = "le"
	Gt     FilterOp = "gt"
	Ge     FilterOp = "ge"
	In     FilterOp = "in"
	NotIn  FilterOp = "not_in"
	Exists FilterOp = "exists"
)

// FilterOps lists the filter operators.
var FilterOps = []FilterOp{Eq, Ne, Lt, Le, Gt, Ge, In, NotIn, Exists}

// Filter keeps the events a view counts. Values holds one value (two or more for
// In and NotIn, one bool for Exists), each of the Go type Normalize gives for
// the field: string, int64, float64, bool, or int64 microseconds for a timestamp and int64 units for a decimal.
type Filter struct {
	Field  string   `json:"field"`
	Op     FilterOp `json:"op"`
	Values []any    `json:"values"`
}

// View is a named aggregation over one event type.
type View struct {
	Name       string        `json:"name"`
	Event      string        `json:"event"`
	Dimensions []string      `json:"dimensions"`
	Cell       time.Duration `json:"cell"`
	Where      []Filter      `json:"where,omitempty"`
	Measures   []Measure     `json:"measures"`
}

// Catalog is everything declared, by name. Bucket is the width of the unit of
// recomputation, the same for all views.
type Catalog struct {
	Events map[string]*EventType
	Views  map[string]*View
	Bucket time.Duration
	// Generation is the number of the record that holds the declarations (G1). It is 0 if no record does.
	Generation uint64

	// Discovered are the event types that were declared from their first events, and by nothing else before.
	Discovered map[string]bool
	// Undecided are the paths of members of data that had values which no type holds all, by event type. No field is
	// discovered for them.
	Undecided map[string][][]string
}

// Limits that keep every table, frame and answer bounded.
const (
	MaxFields     = 200
	MaxDimensions = 16
	MaxMeasures   = 32
	MaxFilters    = 32
	MaxInValues   = 1000
)

// ReservedPrefix begins the names of event types that recount itself defines. Views can count
// them like any other type, but they can be neither declared nor sent.
const ReservedPrefix = "recount."

// Attributes are the CloudEvent attributes a view may use where no field of the name is declared.
var Attributes = []string{"source", "subject"}

// Column returns the type of the column a view's field name resolves to: a
// declared field, else the attribute source or subject.
func (e *EventType) Column(name string) (FieldType, bool) {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Type, true
		}
	}
	return String, slices.Contains(Attributes, name)
}

// SchemaID names the exact set of typed fields: 16 hex digits.
func (e *EventType) SchemaID() string { return digest(e) }

// Digest names exactly what the view computes: its definition, the types of its
// event's columns it uses and where their values come from, the bucket width, and how sums of floats and distinct
// counts are kept. 16 hex digits.
func (c *Catalog) Digest(v *View) string {
	distinct := ""
	if slices.ContainsFunc(v.Measures, func(m Measure) bool { return m.Kind == Distinct }) {
		distinct = "set"
	}
	return c.digestWith(v, c.sums(v), distinct)
}

// SketchedDigest names the same as Digest, with distinct counts that were kept as a set and as a sketch. Rows were
// published under it before sketches were made from sets. It is that of Digest if the view has no distinct count.
func (c *Catalog) SketchedDigest(v *View) string { return c.digestWith(v, c.sums(v), "") }

// RoundedDigest names the same as SketchedDigest, with sums of floats that were rounded in each cell. Rows were
// published under it before such sums were exact. It is that of SketchedDigest if the view has no such sum.
func (c *Catalog) RoundedDigest(v *View) string { return c.digestWith(v, "", "") }

// Digests returns the digests under which rows of the view were ever published, each once, the newest first.
func (c *Catalog) Digests(v *View) []string {
	return slices.Compact([]string{c.Digest(v), c.SketchedDigest(v), c.RoundedDigest(v)})
}

// Names reports whether rows that were published under the digest are those of the view.
func (c *Catalog) Names(v *View, digest string) bool { return slices.Contains(c.Digests(v), digest) }

// sums says in the digest how sums of floats are kept.
func (c *Catalog) sums(v *View) string {
	if slices.ContainsFunc(v.Measures, func(m Measure) bool { return c.sumsFloats(v, m) }) {
		return "exact"
	}
	return ""
}

// digestWith leaves out what is empty, so the digests of other views did not change.
func (c *Catalog) digestWith(v *View, sums, distinct string) string {
	types := map[string]FieldType{}
	e := c.Events[v.Event]
	for _, name := range v.Columns() {
		types[name], _ = e.Column(name)
	}
	return digest(struct {
		View   *View
		Types  map[string]FieldType
		Bucket time.Duration
		Sums   string `json:",omitempty"`

		Distinct string `json:",omitempty"`

		Fields []Field `json:",omitempty"`
	}{v, types, c.Bucket, sums, distinct, c.Meanings(v)})
}

// Meanings returns the fields that the view uses and that are more than a member of data with a type, and those that
// its computed fields use, by name.
func (c *Catalog) Meanings(v *View) (out []Field) {
	e := c.Events[v.Event]
	columns := v.Columns()
	var used []string
	for _, f := range e.Fields {
		if !f.IsComputed() || !slices.Contains(columns, f.Name) {
			continue
		}
		if x, err := e.Compile(f); err == nil { // Validate says what is wrong with it.
			used = append(used, x.Columns...)
		}
	}
	for _, f := range e.Fields {
		if slices.Contains(used, f.Name) || slices.Contains(columns, f.Name) && !f.IsPlain() {
			f.Coerce = false // It says what is accepted, and not what it means.
			out = append(out, f)
		}
	}
	return out
}

// sumsFloats reports whether the measure keeps a sum of float64 values.
func (c *Catalog) sumsFloats(v *View, m Measure) bool {
	return (m.Kind == Sum || m.Kind == Avg) && c.MeasureType(v, m) == Float64
}

// DimensionType returns the type of a dimension of the view.
func (c *Catalog) DimensionType(v *View, dimension string) FieldType {
	t, _ := c.Events[v.Event].Column(dimension)
	return t
}

// MeasureType returns the type of the field a measure reads; Int64 for Count.
func (c *Catalog) MeasureType(v *View, m Measure) FieldType {
	if m.Kind == Count {
		return Int64
	}
	t, _ := c.Events[v.Event].Column(m.Field)
	return t
}

// Measure returns the named measure of the view.
func (v *View) Measure(name string) (Measure, bool) {
	i := slices.IndexFunc(v.Measures, func(m Measure) bool { return m.Name == name })
	if i < 0 {
		return Measure{}, false
	}
	return v.Measures[i], true
}

// Columns returns the distinct event columns the view reads, in a stable order:
// dimensions, then filters, then measures.
func (v *View) Columns() []string {
	var names []string
	add := func(n string) {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, d := range v.Dimensions {
		add(d)
	}
	for _, f := range v.Where {
		add(f.Field)
	}
	for _, m := range v.Measures {
		add(m.Field)
	}
	return names
}

// ViewsOf returns the views over an event type, sorted by name.
func (c *Catalog) ViewsOf(event string) []*View {
	var out []*View
	for _, v := range c.Views {
		if v.Event == event {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b *View) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// digest is the first 8 bytes of the SHA-256 of the value's JSON, in hexadecimal.
func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("catalog: a declaration does not encode: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Source gives the catalog as it is at the moment. A caller uses one answer for one piece of work. A catalog is a
// source that never changes.
type Source interface{ Catalog() *Catalog }

// Catalog returns c.
func (c *Catalog) Catalog() *Catalog { return c }
