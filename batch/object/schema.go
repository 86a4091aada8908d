package object

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go"

	"recount/schemas/catalog"
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
)

// kindOf returns the kind that holds an Arrow type of a declared field.
func kindOf(t arrow.DataType) (kind, bool) {
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

// fieldTypes are the types of declared fields by their kind.
var fieldTypes = map[kind]catalog.FieldType{
	kindInt64: catalog.Int64, kindTime: catalog.Timestamp, kindFloat64: catalog.Float64,
	kindBool: catalog.Bool, kindString: catalog.String,
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
	return parquet.Leaf(parquet.Int64Type)
}

// kindOfColumn returns the kind of a column of a file. It is the reverse of node.
func kindOfColumn(t parquet.Type) (kind, bool) {
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
