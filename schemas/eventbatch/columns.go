package eventbatch

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
)

// The columns every batch of events has, before the declared fields. Columns that
// are not part of the CloudEvent begin with an underscore.
const (
	ColKey     = "_key"    // identity key, 16 bytes (I1)
	ColTenant  = "_tenant" // who sent it
	ColFlags   = "_flags"  // see FlagTimeAssigned
	ColHash    = "_hash"   // digest of the payload, to tell a conflicting duplicate (B2)
	ColID      = "id"
	ColTime    = "time"
	ColSource  = "source"
	ColSubject = "subject" // null when missing
	ColExtra   = "_extra"  // JSON object of fields and attributes nobody declared; null when none

	// ColOverflow names the fields whose value is one too many for a dimension, by name and with
	// commas between them; null when there are none. A batch without such an event lacks it.
	ColOverflow = "_overflow"
)

// underscored are the names above that begin with an underscore. Names of declared fields never do.
var underscored = []string{ColKey, ColTenant, ColFlags, ColHash, ColExtra, ColOverflow}

// FlagTimeAssigned marks an event that came without a time and got the server's (D1).
const FlagTimeAssigned uint8 = 1

// FlagHashOfValues marks an event whose hash depends on the values that were sent, and not on which fields were
// declared. Hashes of events without the flag are older, and cannot be compared with those of events that have it.
const FlagHashOfValues uint8 = 2

// FlagUndeclaredValue marks an event of which a declared field is among the undeclared ones (ColExtra), because its
// value is not of the declared type and means null (catalog.Field).
const FlagUndeclaredValue uint8 = 4

// DefaultTenant owns every event while there are no keys.
const DefaultTenant = "default"

// TimestampType is the Arrow type of every time.
var TimestampType = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

var keyType = &arrow.FixedSizeBinaryType{ByteWidth: KeySize}

// ArrowType returns the Arrow type of a declared field.
func ArrowType(t catalog.FieldType) arrow.DataType {
	switch t {
	case catalog.Int64:
		return arrow.PrimitiveTypes.Int64
	case catalog.Float64:
		return arrow.PrimitiveTypes.Float64
	case catalog.Bool:
		return arrow.FixedWidthTypes.Boolean
	case catalog.Timestamp:
		return TimestampType
	}
	if d, ok := t.Decimal(); ok {
		return &DecimalType{Type: d}
	}
	return arrow.BinaryTypes.String
}

// Schema returns the Arrow schema of batches of the event type: the columns
// every event has, then the declared fields by name, all nullable.
func Schema(e *catalog.EventType) *arrow.Schema {
	fields := []arrow.Field{
		{Name: ColKey, Type: keyType},
		{Name: ColTenant, Type: arrow.BinaryTypes.String},
		{Name: ColFlags, Type: arrow.PrimitiveTypes.Uint8},
		{Name: ColHash, Type: arrow.PrimitiveTypes.Uint64},
		{Name: ColID, Type: arrow.BinaryTypes.String},
		{Name: ColTime, Type: TimestampType},
		{Name: ColSource, Type: arrow.BinaryTypes.String},
		{Name: ColSubject, Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: ColExtra, Type: arrow.BinaryTypes.String, Nullable: true},
	}
	for _, f := range e.Fields {
		fields = append(fields, arrow.Field{Name: f.Name, Type: ArrowType(f.Type), Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

// Columns gives typed access to one record batch. Records of the log and records
// read from the lake have the same columns; a column a reader did not load, or
// that an older schema did not have, is nil and means null in every row.
type Columns struct {
	Rec     arrow.Record
	Key     *array.FixedSizeBinary
	Tenant  *array.String
	Flags   *array.Uint8
	Hash    *array.Uint64
	ID      *array.String
	Time    *array.Timestamp
	Source  *array.String
	Subject *array.String
	Extra   *array.String

	Overflow *array.String
}

// NewColumns finds the columns of rec by name and fails if one has another type
// than Schema gives it.
func NewColumns(rec arrow.Record) (c Columns, err error) {
	c.Rec = rec
	ok := bind(rec, ColKey, &c.Key) && bind(rec, ColTenant, &c.Tenant) && bind(rec, ColFlags, &c.Flags) &&
		bind(rec, ColHash, &c.Hash) && bind(rec, ColID, &c.ID) && bind(rec, ColTime, &c.Time) &&
		bind(rec, ColSource, &c.Source) && bind(rec, ColSubject, &c.Subject) && bind(rec, ColExtra, &c.Extra) &&
		bind(rec, ColOverflow, &c.Overflow)
	if !ok || c.Key != nil && c.Key.DataType().(*arrow.FixedSizeBinaryType).ByteWidth != KeySize {
		return c, fmt.Errorf("%w: columns %v", ErrCorrupt, rec.Schema())
	}
	return c, nil
}

func bind[A arrow.Array](rec arrow.Record, name string, to *A) bool {
	i := rec.Schema().FieldIndices(name)
	if len(i) == 0 {
		return true
	}
	a, ok := rec.Column(i[0]).(A)
	*to = a
	return ok
}

// HasFlag reports whether an event has the flag. It is false if the flags were not loaded.
func (c Columns) HasFlag(flag uint8) bool {
	if c.Flags == nil {
		return false
	}
	var all uint8
	for _, f := range c.Flags.Uint8Values() {
		all |= f
	}
	return all&flag != 0
}

// Field returns the column of the name, or nil when the record has none.
func (c Columns) Field(name string) arrow.Array {
	i := c.Rec.Schema().FieldIndices(name)
	if len(i) == 0 {
		return nil
	}
	return c.Rec.Column(i[0])
}
