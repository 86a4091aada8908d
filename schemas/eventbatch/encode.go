package eventbatch

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
)

// columnType is the type of a column in a frame of version 2.
type columnType uint8

// The types of columns. Their numbers are stored.
const (
	typeString    columnType = 1
	typeInt64     columnType = 2
	typeFloat64   columnType = 3
	typeBool      columnType = 4
	typeTimestamp columnType = 5
	typeUint64    columnType = 6
	typeUint8     columnType = 7
	typeKey       columnType = 8
	typeDecimal   columnType = 9 // the digits and the scale follow the nulls
)

// nulls says which rows of a column have a value. The numbers are stored.
type nulls uint8

// The kinds of nulls.
const (
	notNullable nulls = 0
	noNulls     nulls = 1 // of a column that may have some
	someNulls   nulls = 2 // a bitmap follows
	allNulls    nulls = 3 // no value follows
)

// textForm is how the texts of a column are stored. The numbers are stored.
type textForm uint8

// The forms of texts.
const (
	textConstant textForm = 0 // every row has the same text
	textLengths  textForm = 1 // the lengths of all rows, then their bytes
)

// encoder appends columns to a frame.
type encoder struct {
	frame   []byte
	decoded int // bytes that the columns take when they are decoded
}

// appendBatch appends the rows of a record. It does not keep the record's memory.
func (e *encoder) appendBatch(rec arrow.Record) error {
	e.frame = binary.LittleEndian.AppendUint32(e.frame, uint32(rec.NumRows()))
	e.frame = binary.LittleEndian.AppendUint16(e.frame, uint16(rec.NumCols()))
	for i, f := range rec.Schema().Fields() {
		if len(f.Name) > maxName {
			return fmt.Errorf("the name of column %.40s has %d bytes; use at most %d", f.Name, len(f.Name), maxName)
		}
		e.frame = append(e.frame, byte(len(f.Name)))
		e.frame = append(e.frame, f.Name...)
		start := len(e.frame)
		e.frame = append(e.frame, 0, 0, 0, 0)
		if err := e.appendColumn(rec.Column(i), f.Nullable); err != nil {
			return fmt.Errorf("column %s: %w", f.Name, err)
		}
		binary.LittleEndian.PutUint32(e.frame[start:], uint32(len(e.frame)-start-4))
	}
	return nil
}

func (e *encoder) appendColumn(a arrow.Array, nullable bool) error {
	t, ok := typeOf(a.DataType())
	if !ok {
		return fmt.Errorf("a frame holds no values of type %s", a.DataType())
	}
	e.frame = append(e.frame, byte(t))
	n := a.Len()
	e.decoded += decodedSize(t, n)
	kind := noNulls
	switch missing := a.NullN(); {
	case !nullable && missing > 0:
		return fmt.Errorf("%d rows have no value, and its schema says that all have one", missing)
	case !nullable:
		kind = notNullable
	case missing == n:
		kind = allNulls
	case missing > 0:
		kind = someNulls
	}
	e.frame = append(e.frame, byte(kind))
	if d, ok := a.DataType().(*DecimalType); ok {
		e.frame = append(e.frame, byte(d.Precision), byte(d.Scale))
	}
	switch kind {
	case allNulls:
		return nil
	case someNulls:
		e.appendBits(a.NullBitmapBytes(), a.Data().Offset(), n)
		e.decoded += bitmapSize(n)
	}
	e.appendValues(a)
	return nil
}

// typeOf returns the type of a column in a frame. ok is false if a frame cannot hold it.
func typeOf(t arrow.DataType) (columnType, bool) {
	switch t := t.(type) {
	case *arrow.StringType:
		return typeString, true
	case *arrow.Int64Type:
		return typeInt64, true
	case *DecimalType:
		return typeDecimal, true
	case *arrow.Float64Type:
		return typeFloat64, true
	case *arrow.BooleanType:
		return typeBool, true
	case *arrow.TimestampType:
		return typeTimestamp, *t == *TimestampType
	case *arrow.Uint64Type:
		return typeUint64, true
	case *arrow.Uint8Type:
		return typeUint8, true
	case *arrow.FixedSizeBinaryType:
		return typeKey, t.ByteWidth == KeySize
	}
	return 0, false
}

func (e *encoder) appendValues(a arrow.Array) {
	switch a := a.(type) {
	case *array.String:
		e.appendTexts(a.ValueOffsets(), a.ValueBytes())
	case *array.Int64:
		appendIntegers(e, a.Int64Values())
	case *array.Float64:
		appendIntegers(e, arrow.Uint64Traits.CastFromBytes(arrow.Float64Traits.CastToBytes(a.Float64Values())))
	case *array.Boolean:
		e.appendBits(a.Data().Buffers()[1].Bytes(), a.Data().Offset(), a.Len())
	case *array.Timestamp:
		appendIntegers(e, a.TimestampValues())
	case *array.Uint64:
		appendIntegers(e, a.Uint64Values())
	case *array.Uint8:
		appendIntegers(e, a.Uint8Values())
	case *array.FixedSizeBinary:
		from := a.Data().Offset() * KeySize
		e.frame = append(e.frame, a.Data().Buffers()[1].Bytes()[from:from+a.Len()*KeySize]...)
	}
}

// appendBits appends n bits from a bit on.
func (e *encoder) appendBits(from []byte, first, n int) {
	start := len(e.frame)
	e.frame = append(e.frame, make([]byte, bitmapSize(n))...)
	bitutil.CopyBitmap(from, first, n, e.frame[start:], 0)
}

// appendTexts appends texts, of which row i is data[offsets[i]-offsets[0]:offsets[i+1]-offsets[0]].
func (e *encoder) appendTexts(offsets []int32, data []byte) {
	n := len(offsets) - 1
	e.decoded += len(data)
	if first := data[:offsets[1]-offsets[0]]; repeats(first, data, n) && sameLength(offsets) {
		e.frame = append(e.frame, byte(textConstant))
		e.frame = append(e.frame, first...)
		return
	}
	e.frame = append(e.frame, byte(textLengths))
	least := offsets[1] - offsets[0]
	most := least
	for i := range n {
		length := offsets[i+1] - offsets[i]
		least = min(least, length)
		most = max(most, length)
	}
	width := byteWidth(uint64(most - least))
	e.frame = binary.LittleEndian.AppendUint32(e.frame, uint32(least))
	e.frame = append(e.frame, byte(width))
	start := e.reserve(n * width)
	for i := range n {
		binary.LittleEndian.PutUint64(e.frame[start+i*width:], uint64(offsets[i+1]-offsets[i]-least))
	}
	e.frame = append(e.frame[:start+n*width], data...)
}

// repeats reports whether data is n times the text.
func repeats(text, data []byte, n int) bool {
	size := len(text)
	return len(data) == n*size && string(data[size:]) == string(data[:len(data)-size])
}

// sameLength reports whether all texts have the same length.
func sameLength(offsets []int32) bool {
	length := offsets[1] - offsets[0]
	for i := 1; i < len(offsets); i++ {
		if offsets[i]-offsets[i-1] != length {
			return false
		}
	}
	return true
}

// appendIntegers appends the distances of values from the smallest one, in as few bytes as they need.
// Low bits that all values have in common are left out too, which are most of a float64 that is whole.
func appendIntegers[V ~int64 | uint64 | uint8](e *encoder, values []V) {
	least := values[0]
	most := values[0]
	differ := V(0)
	for _, v := range values {
		least = min(least, v)
		most = max(most, v)
		differ |= v ^ values[0]
	}
	shift := bits.TrailingZeros64(uint64(differ)) & 63 // 0 if all values are the same.
	width := byteWidth((uint64(most) - uint64(least)) >> shift)
	e.frame = binary.LittleEndian.AppendUint64(e.frame, uint64(least))
	e.frame = append(e.frame, byte(shift), byte(width))
	start := e.reserve(len(values) * width)
	for i, v := range values {
		binary.LittleEndian.PutUint64(e.frame[start+i*width:], (uint64(v)-uint64(least))>>shift)
	}
	e.frame = e.frame[:start+len(values)*width]
}

// byteWidth is how many bytes hold a number.
func byteWidth(most uint64) int { return (bits.Len64(most) + 7) / 8 }

// reserve makes the frame n bytes longer, and eight more, so that each number may be written as eight bytes of
// which the next one replaces those that are too many. It returns where the n bytes begin.
func (e *encoder) reserve(n int) int {
	start := len(e.frame)
	e.frame = slices.Grow(e.frame, n+8)[:start+n+8]
	return start
}

func bitmapSize(n int) int { return (n + 7) / 8 }

// decodedSize is how many bytes n values of a type take when they are decoded, without those of texts.
func decodedSize(t columnType, n int) int {
	switch t {
	case typeString:
		return 4 * (n + 1)
	case typeBool:
		return bitmapSize(n)
	case typeUint8:
		return n
	case typeKey:
		return KeySize * n
	}
	return 8 * n
}
