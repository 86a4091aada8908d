// Package expression is the language of computed fields: a field whose value follows from other fields of its event.
//
//	if(status >= 500, 'error', coalesce(lower(host(page)), 'none'))
//
// An expression is read once, with the types of the columns that it may use, and every mistake in it is found then. It
// has two meanings that are the same: a value for each row of Arrow columns, for both layers, and SQL of ClickHouse,
// for the recheck (A4). Nothing fails while it is evaluated: what has no value is null.
//
// The operators are few and ours. General languages such as CEL and expr evaluate row by row and have no SQL, and the
// two meanings of each operator here are tested against each other and against a naive third.
//
// # Values
//
// Each expression has one of the types of fields. Any value may be null. An int64 that would overflow is null, and so
// is a float64 that would not be finite. Minus zero is zero. Where an int64 meets a float64, it becomes the nearest
// float64. Strings are compared by their bytes.
//
//	and or not              bool; null is unknown, so false and null is false
//	= != < <= > >=          two values of a type, or numbers; bool has = and != only
//	+ - *                   two numbers
//	/                       float64 of two numbers
//	%                       int64 of two int64, with the sign of the first
//	-                       a number
//	'it''s' 5 0.5 true null literals; a name in double quotes is a column, as is one without quotes
//
// Functions lists the functions. A function of null is null, but for if and coalesce.
package expression

// Type is the type of a value: that of a field (catalog.FieldType).
type Type string

// The types.
const (
	String    Type = "string"
	Int64     Type = "int64"
	Float64   Type = "float64"
	Bool      Type = "bool"
	Timestamp Type = "timestamp"

	null Type = "null" // of the literal
)

// fieldTypes are the types of fields that an expression may use. Decimals are not among them: no operator here keeps
// them exact in both layers and in ClickHouse.
var fieldTypes = []Type{String, Int64, Float64, Bool, Timestamp}

// Limits of an expression.
const (
	MaxText  = 4096 // bytes
	maxNodes = 256
	maxDepth = 32
)
