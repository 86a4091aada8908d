package object

import (
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/encoding"

	"recount/schemas/eventbatch"
)

// next returns the next n rows as an Arrow array.
func (d *decoder) next(n int) (arrow.Array, error) {
	switch {
	case d.codes:
		return d.nextCodes(n)
	case d.kind == kindString:
		return d.nextStrings(n)
	}
	switch d.kind {
	case kindFloat64:
		return nextFixed(d, n, func(v encoding.Values) []float64 { return v.Double() }, arrow.Float64Traits.CastToBytes)
	case kindInt32:
		return nextFixed(d, n, func(v encoding.Values) []int32 { return v.Int32() }, arrow.Int32Traits.CastToBytes)
	case kindUint8:
		return nextFixed(d, n, func(v encoding.Values) []int32 { return v.Int32() }, narrow)
	case kindBool:
		return nextFixed(d, n, func(encoding.Values) []byte { return d.bits }, pack)
	case kindKey:
		return nextFixed(d, n, func(v encoding.Values) [][eventbatch.KeySize]byte { return v.Uint128() }, keyBytes)
	}
	return nextFixed(d, n, func(v encoding.Values) []int64 { return v.Int64() }, arrow.Int64Traits.CastToBytes)
}

// nextFixed reads the next n values of fixed width, and gives them to Arrow as bytes.
func nextFixed[T any](d *decoder, n int, values func(encoding.Values) []T,
	bytes func([]T) []byte) (arrow.Array, error) {
	out, v, err := gather(d, n, values)
	if err != nil {
		return nil, err
	}
	data := array.NewData(d.kind.arrow(), n, []*memory.Buffer{v.buffer(), memory.NewBufferBytes(bytes(out))}, nil,
		v.nulls, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// gather copies the next n rows out of the pages; null rows are the zero value. It copies them
// because the memory of a page goes back to a pool. A decoder that lends copies nothing if the rows are all of one page
// and not null.
func gather[T any](d *decoder, n int, values func(encoding.Values) []T) ([]T, validity, error) {
	var v validity
	if d.row == d.rows {
		if err := d.load(); err != nil {
			return nil, v, err
		}
	}
	if d.lends && d.levels == nil && n <= d.rows-d.row {
		out := values(d.page.Data())[d.value : d.value+n : d.value+n]
		d.row += n
		d.value += n
		return out, v, nil
	}
	out := make([]T, n)
	for done := 0; done < n; {
		if d.row == d.rows {
			if err := d.load(); err != nil {
				return nil, v, err
			}
		}
		m := min(n-done, d.rows-d.row)
		from := values(d.page.Data())[d.value:]
		if d.levels == nil {
			copy(out[done:done+m], from[:m])
			d.value += m
			v.setPresent(done, m)
		} else {
			levels := d.levels[d.row : d.row+m]
			d.value += scatter(out[done:done+m], levels, from)
			v.setLevels(done, n, levels)
		}
		d.row += m
		done += m
	}
	return out, v, nil
}

// scatter copies the values to the rows that have one by their level, and returns their number.
func scatter[T any](rows []T, levels []byte, values []T) (used int) {
	for i, l := range levels {
		if l != 0 {
			rows[i] = values[used]
			used++
		}
	}
	return used
}

// validity is the bitmap of the rows that are not null.
type validity struct {
	bits  []byte // nil while no row is null
	nulls int
}

// setPresent notes that the rows [from, from+n) have values.
func (v *validity) setPresent(from, n int) {
	if v.bits != nil {
		bitutil.SetBitsTo(v.bits, int64(from), int64(n), true)
	}
}

// setLevels sets the rows that begin at row by their levels. rows is the length of the whole array.
func (v *validity) setLevels(row, rows int, levels []byte) {
	if v.bits == nil {
		v.bits = make([]byte, bitutil.BytesForBits(int64(rows)))
		v.setPresent(0, row)
	}
	for i, l := range levels {
		if l != 0 {
			bitutil.SetBit(v.bits, row+i)
		} else {
			v.nulls++
		}
	}
}

// buffer returns the bitmap for Arrow, nil if no row is null.
func (v *validity) buffer() *memory.Buffer {
	if v.bits == nil {
		return nil
	}
	return memory.NewBufferBytes(v.bits)
}

// narrow returns the values as bytes.
func narrow(values []int32) []byte {
	out := make([]byte, len(values))
	for i, v := range values {
		out[i] = byte(v)
	}
	return out
}

// pack returns the booleans, a byte each, as bits.
func pack(values []byte) []byte {
	out := make([]byte, bitutil.BytesForBits(int64(len(values))))
	for i, v := range values {
		out[i/8] |= v << (i % 8)
	}
	return out
}

// keyBytes returns the bytes of the keys, one key after another, in the same memory.
func keyBytes(keys [][eventbatch.KeySize]byte) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(keys))), len(keys)*eventbatch.KeySize)
}
