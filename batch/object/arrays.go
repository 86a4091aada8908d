package object

import (
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
		return fixed(d, n, func(v encoding.Values) []float64 { return v.Double() }, arrow.Float64Traits.CastToBytes)
	case kindInt32:
		return fixed(d, n, func(v encoding.Values) []int32 { return v.Int32() }, arrow.Int32Traits.CastToBytes)
	case kindUint8:
		return fixed(d, n, func(v encoding.Values) []int32 { return v.Int32() }, narrow)
	case kindBool:
		return fixed(d, n, func(encoding.Values) []byte { return d.bits }, pack)
	case kindKey:
		return fixed(d, n, func(v encoding.Values) [][eventbatch.KeySize]byte { return v.Uint128() }, flatten)
	}
	return fixed(d, n, func(v encoding.Values) []int64 { return v.Int64() }, arrow.Int64Traits.CastToBytes)
}

// fixed reads values of fixed width and hands them to Arrow as bytes.
func fixed[T any](d *decoder, n int, values func(encoding.Values) []T, bytes func([]T) []byte) (arrow.Array, error) {
	out, v, err := gather(d, n, values)
	if err != nil {
		return nil, err
	}
	data := array.NewData(d.kind.arrow(), n, []*memory.Buffer{v.buffer(), memory.NewBufferBytes(bytes(out))}, nil,
		v.nulls, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// gather copies the next n rows out of the pages; null rows are the zero value. Values
// must be copied: the pages' memory goes back to a pool.
func gather[T any](d *decoder, n int, values func(encoding.Values) []T) ([]T, validity, error) {
	out := make([]T, n)
	var v validity
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
			v.present(done, m)
		} else {
			levels := d.levels[d.row : d.row+m]
			d.value += scatter(out[done:done+m], levels, from)
			v.add(done, n, levels)
		}
		d.row += m
		done += m
	}
	return out, v, nil
}

// scatter puts the values where the levels say there is one, and returns their number.
func scatter[T any](dst []T, levels []byte, values []T) (used int) {
	for i, l := range levels {
		if l != 0 {
			dst[i] = values[used]
			used++
		}
	}
	return used
}

// validity is the bitmap of rows that are not null, nil while all are.
type validity struct {
	bits  []byte
	nulls int
}

// present says that rows [from, from+n) have values.
func (v *validity) present(from, n int) {
	if v.bits != nil {
		bitutil.SetBitsTo(v.bits, int64(from), int64(n), true)
	}
}

// add sets rows from the row on by their levels; rows is the length of the whole array.
func (v *validity) add(row, rows int, levels []byte) {
	if v.bits == nil {
		v.bits = make([]byte, bitutil.BytesForBits(int64(rows)))
		v.present(0, row)
	}
	for i, l := range levels {
		if l != 0 {
			bitutil.SetBit(v.bits, row+i)
		} else {
			v.nulls++
		}
	}
}

func (v *validity) buffer() *memory.Buffer {
	if v.bits == nil {
		return nil
	}
	return memory.NewBufferBytes(v.bits)
}

func narrow(values []int32) []byte {
	out := make([]byte, len(values))
	for i, v := range values {
		out[i] = byte(v)
	}
	return out
}

func pack(values []byte) []byte {
	out := make([]byte, bitutil.BytesForBits(int64(len(values))))
	for i, v := range values {
		out[i/8] |= v << (i % 8)
	}
	return out
}

func flatten(keys [][eventbatch.KeySize]byte) []byte {
	out := make([]byte, 0, len(keys)*eventbatch.KeySize)
	for i := range keys {
		out = append(out, keys[i][:]...)
	}
	return out
}
