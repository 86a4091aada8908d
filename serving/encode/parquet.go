package encode

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"recount/serving/merge"
)

// Parquet writes the answer as a Parquet file. After an error the file has no footer, so no reader takes it for whole.
func Parquet(w io.Writer, a *merge.Answer) error {
	accuracy, err := json.Marshal(a.Accuracy)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	fields := arrowFields(a)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	out := parquet.NewGenericWriter[any](w, parquet.NewSchema("answer", newTable(fields)),
		parquet.Compression(&parquet.Zstd), parquet.KeyValueMetadata("accuracy", string(accuracy)))
	if err := fillBatches(b, a, func() error { return writeRowGroup(out, b) }); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// writeRowGroup writes what is in the builder.
func writeRowGroup(out *parquet.GenericWriter[any], b *array.RecordBuilder) error {
	record := b.NewRecord()
	defer record.Release()
	values := make([]parquet.Value, record.NumRows())
	for i, column := range out.ColumnWriters() {
		for row := range values {
			level := 1
			if record.Column(i).IsNull(row) {
				level = 0
			}
			values[row] = parquetValue(record.Column(i), row).Level(0, level, i)
		}
		if _, err := column.WriteRowValues(values); err != nil {
			return err
		}
	}
	return out.Flush()
}

// parquetValue returns the value of a row.
func parquetValue(column arrow.Array, row int) parquet.Value {
	if column.IsNull(row) {
		return parquet.NullValue()
	}
	switch c := column.(type) {
	case *array.String:
		return parquet.ByteArrayValue([]byte(c.Value(row)))
	case *array.Boolean:
		return parquet.BooleanValue(c.Value(row))
	case *array.Float64:
		return parquet.DoubleValue(c.Value(row))
	case *array.Timestamp:
		return parquet.Int64Value(int64(c.Value(row)))
	case *array.Decimal128:
		units := binary.BigEndian.AppendUint64(nil, uint64(c.Value(row).HighBits()))
		return parquet.FixedLenByteArrayValue(binary.BigEndian.AppendUint64(units, c.Value(row).LowBits()))
	case *array.Int64:
		return parquet.Int64Value(c.Value(row))
	}
	return parquet.NullValue()
}

// table is a schema whose columns keep their order. A parquet.Group sorts them by name.
type table struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements parquet.Node.
func (t table) Fields() []parquet.Field { return t.fields }

// tableColumn is a column of a table.
type tableColumn struct {
	parquet.Node
	name string
}

// Name implements parquet.Field.
func (c tableColumn) Name() string { return c.name }

// Value implements parquet.Field. Values are written by column, so none is taken out of a Go value.
func (c tableColumn) Value(reflect.Value) reflect.Value { return reflect.Value{} }

func newTable(fields []arrow.Field) table {
	t := table{Group: parquet.Group{}}
	for _, f := range fields {
		node := parquet.Optional(parquetNode(f.Type))
		t.Group[f.Name] = node
		t.fields = append(t.fields, tableColumn{node, f.Name})
	}
	return t
}

// parquetNode returns the Parquet type of an Arrow type of arrowFields. A time is an instant: Parquet has no zones.
func parquetNode(t arrow.DataType) parquet.Node {
	switch t := t.(type) {
	case *arrow.StringType:
		return parquet.String()
	case *arrow.BooleanType:
		return parquet.Leaf(parquet.BooleanType)
	case *arrow.Float64Type:
		return parquet.Leaf(parquet.DoubleType)
	case *arrow.TimestampType:
		return parquet.Timestamp(parquet.Microsecond)
	case *arrow.Decimal128Type:
		return parquet.Decimal(int(t.Scale), int(t.Precision), parquet.FixedLenByteArrayType(16))
	}
	return parquet.Leaf(parquet.Int64Type)
}
