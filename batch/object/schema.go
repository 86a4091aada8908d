package object

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
)

// The columns that an object has besides those of the batches of the log. Together they are the
// position of the row's event in the log.
const (
	ColPartition = "_partition" // int32
	ColEpoch     = "_epoch"     // int32
	ColSeq       = "_seq"       // int64, sequence of the message
	ColIndex     = "_index"     // int32, index of the event in its message
)

// Key returns the key of the object of an event type and the segment [start, end) (C2). The attempt
// makes it a name that no other attempt can have.
func Key(eventType string, landed time.Time, epoch uint32, partition int, start, end uint64,
	attempt string) string {
	return fmt.Sprintf("data/type=%s/landed=%s/e%d-p%d-%d-%d-%s.parquet",
		eventType, landed.UTC().Format(time.DateOnly), epoch, partition, start, end, attempt)
}

// kind is how a column is kept in memory, encoded as Parquet and read back as Arrow.
type kind int

const (
	kindInt64 kind = iota
	kindTime
	kindUint64
	kindFloat64
	kindBool
	kindUint8
	kindInt32
	kindString
	kindKey
	// kindDecimal is the lowest of those of decimals (decimalKind).
	kindDecimal
)

// decimalKind returns the kind of a decimal type, whose values are those of kindInt64.
func decimalKind(t decimal.Type) kind { return kindDecimal + kind(t.Precision)<<8 + kind(t.Scale)<<16 }

// decimal returns the type of a decimal kind.
func (k kind) decimal() (t decimal.Type, ok bool) {
	return decimal.Type{Precision: int(k>>8) & 0xff, Scale: int(k >> 16)}, k >= kindDecimal
}

// kindOf returns the kind that holds an Arrow type of a declared field.
func kindOf(t arrow.DataType) (kind, bool) {
	if d, ok := t.(*eventbatch.DecimalType); ok {
		return decimalKind(d.Type), true
	}
	switch t.ID() {
	case arrow.INT64:
		return kindInt64, true
	case arrow.TIMESTAMP:
		return kindTime, arrow.TypeEqual(t, eventbatch.TimestampType)
	case arrow.FLOAT64:
		return kindFloat64, true
	case arrow.BOOL:
		return kindBool, true
	case arrow.STRING:
		return kindString, true
	}
	return 0, false
}

// fieldTypes are the types of declared fields by their kind, but for decimals.
var fieldTypes = map[kind]catalog.FieldType{
	kindInt64: catalog.Int64, kindTime: catalog.Timestamp, kindFloat64: catalog.Float64,
	kindBool: catalog.Bool, kindString: catalog.String,
}

// fieldType returns the type of a declared field of the kind.
func (k kind) fieldType() catalog.FieldType {
	if d, ok := k.decimal(); ok {
		return catalog.DecimalOf(d)
	}
	return fieldTypes[k]
}

// decimalColumn is the Parquet type of decimals. That of parquet-go logs a warning for one of fewer than ten digits,
// which other writers store in 32 bits.
type decimalColumn struct {
	parquet.Type
	logical format.LogicalType
}

func newDecimalColumn(t decimal.Type) parquet.Node {
	return parquet.Leaf(&decimalColumn{parquet.Int64Type, format.LogicalType{
		Value: &format.DecimalType{Scale: int32(t.Scale), Precision: int32(t.Precision)}}})
}

func (c *decimalColumn) String() string                   { return c.logical.String() }
func (c *decimalColumn) LogicalType() *format.LogicalType { return &c.logical }

func (c *decimalColumn) ConvertedType() *deprecated.ConvertedType {
	converted := deprecated.Decimal
	return &converted
}

// node returns the Parquet column of a kind. Types have only the annotations that DuckDB, Spark,
// ClickHouse and pyarrow agree on. So the key is a plain fixed-length byte array, and not a UUID,
// which some of them reformat.
func (k kind) node() parquet.Node {
	switch k {
	case kindTime:
		return parquet.Timestamp(parquet.Microsecond)
	case kindUint64:
		return parquet.Uint(64)
	case kindFloat64:
		return parquet.Leaf(parquet.DoubleType)
	case kindBool:
		return parquet.Leaf(parquet.BooleanType)
	case kindUint8:
		return parquet.Uint(8)
	case kindInt32:
		return parquet.Leaf(parquet.Int32Type)
	case kindString:
		return parquet.String()
	case kindKey:
		return parquet.Leaf(parquet.FixedLenByteArrayType(eventbatch.KeySize))
	}
	if d, ok := k.decimal(); ok {
		return newDecimalColumn(d)
	}
	return parquet.Leaf(parquet.Int64Type)
}

// kindOfColumn returns the kind of a column of a file. It is the reverse of node.
func kindOfColumn(t parquet.Type) (kind, bool) {
	if l := t.LogicalType(); l != nil && t.Kind() == parquet.Int64 {
		if d, is := l.Value.(*format.DecimalType); is {
			found := decimal.Type{Precision: int(d.Precision), Scale: int(d.Scale)}
			return decimalKind(found), found.Valid()
		}
	}
	for k := kindInt64; k <= kindKey; k++ {
		if parquet.EqualTypes(t, k.node().Type()) {
			return k, true
		}
	}
	return 0, false
}

// arrow returns the Arrow type of a column of the kind, as eventbatch.Schema has it.
func (k kind) arrow() arrow.DataType {
	switch k {
	case kindTime:
		return eventbatch.TimestampType
	case kindUint64:
		return arrow.PrimitiveTypes.Uint64
	case kindFloat64:
		return arrow.PrimitiveTypes.Float64
	case kindBool:
		return arrow.FixedWidthTypes.Boolean
	case kindUint8:
		return arrow.PrimitiveTypes.Uint8
	case kindInt32:
		return arrow.PrimitiveTypes.Int32
	case kindString:
		return arrow.BinaryTypes.String
	case kindKey:
		return &arrow.FixedSizeBinaryType{ByteWidth: eventbatch.KeySize}
	}
	if d, ok := k.decimal(); ok {
		return &eventbatch.DecimalType{Type: d}
	}
	return arrow.PrimitiveTypes.Int64
}

// baseColumns returns the columns that every batch of the log has.
func baseColumns() []spec {
	return []spec{
		{name: eventbatch.ColKey, kind: kindKey},
		{name: eventbatch.ColTenant, kind: kindString},
		{name: eventbatch.ColFlags, kind: kindUint8},
		{name: eventbatch.ColHash, kind: kindUint64},
		{name: eventbatch.ColID, kind: kindString, unique: true},
		{name: eventbatch.ColTime, kind: kindTime},
		{name: eventbatch.ColSource, kind: kindString},
		{name: eventbatch.ColSubject, kind: kindString, optional: true},
		{name: eventbatch.ColExtra, kind: kindString, optional: true, unique: true},
		{name: eventbatch.ColOverflow, kind: kindString, optional: true},
	}
}

// isBase reports whether the name is one of the columns that every batch has.
func isBase(name string) bool {
	return strings.HasPrefix(name, "_") ||
		slices.Contains([]string{eventbatch.ColID, eventbatch.ColTime, eventbatch.ColSource, eventbatch.ColSubject},
			name)
}
