package eventbatch

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/decimal"
)

// decoder reads the columns of a frame. Everything that it returns may refer to the frame.
type decoder struct {
	rest []byte
	left int // bytes that the columns may still take, so that a forged frame cannot ask for much memory
	seen int // columns of all batches so far, because a column of a few bytes needs several hundred in memory
	// skipped is set by a column of a type that this program does not know, so it cannot pay for it.
	skipped bool
}

var errCutOff = fmt.Errorf("%w: it ends within a column", ErrCorrupt)

// takeBytes returns the next n bytes.
func (d *decoder) takeBytes(n int) ([]byte, error) {
	if n < 0 || n > len(d.rest) {
		return nil, errCutOff
	}
	out := d.rest[:n:n]
	d.rest = d.rest[n:]
	return out, nil
}

// pay counts bytes that a column takes.
func (d *decoder) pay(n int) error {
	if n > d.left {
		return fmt.Errorf("%w: its columns are larger than its header says", ErrCorrupt)
	}
	d.left -= n
	return nil
}

// batch reads the next record. Columns that this program does not know are left out.
func (d *decoder) batch() (arrow.Record, error) {
	head, err := d.takeBytes(6)
	if err != nil {
		return nil, err
	}
	rows := int(binary.LittleEndian.Uint32(head))
	count := int(binary.LittleEndian.Uint16(head[4:]))
	if d.seen += count; rows == 0 || rows > MaxEvents || d.seen > maxColumns {
		return nil, fmt.Errorf("%w: a batch has %d rows, and %d columns come up to its end", ErrCorrupt, rows, d.seen)
	}
	fields := make([]arrow.Field, 0, count)
	columns := make([]arrow.Array, 0, count)
	for range count {
		name, body, err := d.columnBytes()
		if err != nil {
			return nil, err
		}
		c := decoder{rest: body, left: d.left}
		f, a, err := c.column(name, rows)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		d.left = c.left
		d.skipped = d.skipped || c.skipped
		if a != nil {
			fields = append(fields, f)
			columns = append(columns, a)
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(rows)), nil
}

// columnBytes returns the name and the bytes of the next column.
func (d *decoder) columnBytes() (name string, body []byte, err error) {
	size, err := d.takeBytes(1)
	if err != nil {
		return "", nil, err
	}
	raw, err := d.takeBytes(int(size[0]) + 4)
	if err != nil {
		return "", nil, err
	}
	name = string(raw[:size[0]])
	body, err = d.takeBytes(int(binary.LittleEndian.Uint32(raw[size[0]:])))
	return name, body, err
}

// column reads a column, of which d has all bytes. The array is nil if this program does not know the column.
func (d *decoder) column(name string, rows int) (f arrow.Field, a arrow.Array, err error) {
	head, err := d.takeBytes(2)
	if err != nil {
		return f, nil, err
	}
	t := columnType(head[0])
	kind := nulls(head[1])
	known := !strings.HasPrefix(name, "_") || slices.Contains(underscored, name)
	f = arrow.Field{Name: name, Type: d.arrowType(t), Nullable: kind != notNullable}
	if f.Type == nil || kind > allNulls {
		if known {
			return f, nil, fmt.Errorf("%w: type %d with nulls %d", ErrCorrupt, t, kind)
		}
		d.skipped = true
		return f, nil, nil
	}
	if err := d.pay(decodedSize(t, rows)); err != nil {
		return f, nil, err
	}
	bitmap, missing, err := d.bitmap(kind, rows)
	if err != nil {
		return f, nil, err
	}
	values, err := d.values(t, kind, rows)
	if err != nil {
		return f, nil, err
	}
	if len(d.rest) > 0 {
		return f, nil, fmt.Errorf("%w: %d bytes follow its values", ErrCorrupt, len(d.rest))
	}
	if !known {
		return f, nil, nil
	}
	data := array.NewData(f.Type, rows, append([]*memory.Buffer{bitmap}, values...), nil, missing, 0)
	defer data.Release()
	return f, array.MakeFromData(data), nil
}

// arrowType returns the type of a column, of which the nulls were read last. It is nil if this program does not know
// the type.
func (d *decoder) arrowType(t columnType) arrow.DataType {
	switch t {
	case typeString:
		return arrow.BinaryTypes.String
	case typeInt64:
		return arrow.PrimitiveTypes.Int64
	case typeFloat64:
		return arrow.PrimitiveTypes.Float64
	case typeBool:
		return arrow.FixedWidthTypes.Boolean
	case typeTimestamp:
		return TimestampType
	case typeUint64:
		return arrow.PrimitiveTypes.Uint64
	case typeUint8:
		return arrow.PrimitiveTypes.Uint8
	case typeKey:
		return keyType
	case typeDecimal:
		digits, err := d.takeBytes(2)
		if err != nil {
			return nil
		}
		if t := (decimal.Type{Precision: int(digits[0]), Scale: int(digits[1])}); t.Valid() {
			return &DecimalType{Type: t}
		}
	}
	return nil
}

// bitmap reads which rows have a value, and returns how many have none.
func (d *decoder) bitmap(kind nulls, rows int) (b *memory.Buffer, missing int, err error) {
	switch kind {
	case someNulls:
		raw, err := d.takeBytes(bitmapSize(rows))
		if err == nil {
			err = d.pay(len(raw))
		}
		return memory.NewBufferBytes(raw), rows - countBits(raw, rows), err
	case allNulls:
		return memory.NewBufferBytes(make([]byte, bitmapSize(rows))), rows, nil
	}
	return nil, 0, nil
}

// countBits counts the bits of the first n that are set.
func countBits(raw []byte, n int) int {
	total := 0
	for i, b := range raw {
		if over := 8*(i+1) - n; over > 0 {
			b &= 0xff >> over
		}
		total += bits.OnesCount8(b)
	}
	return total
}

// values reads the values of a column, as the buffers that Arrow has for its type.
func (d *decoder) values(t columnType, kind nulls, rows int) ([]*memory.Buffer, error) {
	if t == typeString {
		return d.texts(kind, rows)
	}
	var raw []byte
	var err error
	switch {
	case kind == allNulls:
		raw = make([]byte, decodedSize(t, rows))
	case t == typeBool || t == typeKey:
		raw, err = d.takeBytes(decodedSize(t, rows))
	case t == typeUint8:
		raw, err = integers(d, make([]uint8, rows))
	default:
		words := make([]uint64, rows)
		if _, err = integers(d, words); err == nil {
			raw = arrow.Uint64Traits.CastToBytes(words)
		}
	}
	return []*memory.Buffer{memory.NewBufferBytes(raw)}, err
}

// packed are numbers of the same width.
type packed struct {
	raw   []byte // with whatever follows them
	width int
}

// packed reads n numbers of a width.
func (d *decoder) packed(width byte, n int) (packed, error) {
	if width > 8 {
		return packed{}, fmt.Errorf("%w: numbers of %d bytes", ErrCorrupt, width)
	}
	p := packed{d.rest, int(width)}
	_, err := d.takeBytes(n * p.width)
	return p, err
}

// number returns number i.
func (p packed) number(i int) uint64 {
	from := i * p.width
	if from+8 > len(p.raw) {
		var last [8]byte
		copy(last[:p.width], p.raw[from:])
		return binary.LittleEndian.Uint64(last[:])
	}
	return binary.LittleEndian.Uint64(p.raw[from:]) & (1<<(8*p.width) - 1)
}

// integers reads numbers into out and returns it.
func integers[V uint64 | uint8](d *decoder, out []V) ([]V, error) {
	head, err := d.takeBytes(10)
	if err != nil {
		return nil, err
	}
	least := binary.LittleEndian.Uint64(head)
	shift := head[8]
	p, err := d.packed(head[9], len(out))
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = V(least + p.number(i)<<shift)
	}
	return out, nil
}

// texts reads texts, as offsets and bytes.
func (d *decoder) texts(kind nulls, rows int) ([]*memory.Buffer, error) {
	offsets := make([]int32, rows+1)
	data, err := d.textBytes(kind, offsets)
	if err != nil {
		return nil, err
	}
	return []*memory.Buffer{memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)),
		memory.NewBufferBytes(data)}, nil
}

// textBytes returns the bytes of texts and sets their offsets, which are 0.
func (d *decoder) textBytes(kind nulls, offsets []int32) ([]byte, error) {
	if kind == allNulls {
		return nil, nil
	}
	form, err := d.takeBytes(1)
	if err != nil {
		return nil, err
	}
	switch textForm(form[0]) {
	case textConstant:
		return d.constantText(offsets)
	case textLengths:
		return d.differentTexts(offsets)
	}
	return nil, fmt.Errorf("%w: texts of form %d", ErrCorrupt, form[0])
}

// constantText returns the text of all rows, as often as there are rows.
func (d *decoder) constantText(offsets []int32) ([]byte, error) {
	rows := len(offsets) - 1
	text := d.rest
	d.rest = nil
	if err := d.pay(rows * len(text)); err != nil {
		return nil, err
	}
	for i := range offsets {
		offsets[i] = int32(i * len(text))
	}
	return slices.Repeat(text, rows), nil
}

func (d *decoder) differentTexts(offsets []int32) ([]byte, error) {
	head, err := d.takeBytes(5)
	if err != nil {
		return nil, err
	}
	rows := len(offsets) - 1
	if head[4] > 4 {
		return nil, fmt.Errorf("%w: lengths of %d bytes", ErrCorrupt, head[4])
	}
	lengths, err := d.packed(head[4], rows)
	if err != nil {
		return nil, err
	}
	least := uint64(binary.LittleEndian.Uint32(head))
	total := uint64(0)
	for i := range rows {
		if total += least + lengths.number(i); total > uint64(len(d.rest)) {
			return nil, errCutOff
		}
		offsets[i+1] = int32(total)
	}
	if err := d.pay(int(total)); err != nil {
		return nil, err
	}
	return d.takeBytes(int(total))
}
