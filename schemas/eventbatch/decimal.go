package eventbatch

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/decimal"
)

// DecimalType is the Arrow type of a decimal field: int64 values that count units of the last digit. Its arrays are
// array.Int64, so all code that adds, compares or hashes int64 values does the same with decimals of one type.
// arrow.TypeEqual tells the type from int64 and from other decimals. It is not Arrow's own decimal, whose values have
// 16 bytes. What leaves recount as Arrow has that one.
type DecimalType struct {
	arrow.Int64Type
	decimal.Type
}

// Name returns the type as it is declared.
func (t *DecimalType) Name() string { return t.Type.String() }

// String returns the type as it is declared.
func (t *DecimalType) String() string { return t.Type.String() }

// Fingerprint identifies the type.
func (t *DecimalType) Fingerprint() string { return t.Type.String() }

// Array returns the values of an array of int64, which count units of the last digit, as decimals. It shares their
// memory.
func (t *DecimalType) Array(units arrow.Array) arrow.Array {
	from := units.Data()
	data := array.NewData(t, from.Len(), from.Buffers(), nil, from.NullN(), from.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}
