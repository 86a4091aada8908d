package lake

import (
	"fmt"
	"math"

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
	data := array.NewData(d.kind.arrow(), n, []*memory.Buffer{v.buffer(), memory.NewBufferBytes(bytes(out))}, nil, v.nulls, 0)
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

// nextCodes reads dictionary codes. They are checked against the dictionary here, because a
// code outside it would make the caller panic.
func (d *decoder) nextCodes(n int) (arrow.Array, error) {
	codes, v, err := gather(d, n, func(v encoding.Values) []int32 { return v.Int32() })
	if err != nil {
		return nil, err
	}
	highest := uint32(0)
	for _, c := range codes {
		highest = max(highest, uint32(c))
	}
	if d.dict == nil || int64(highest) >= int64(d.dict.Len()) && v.nulls < n {
		return nil, fmt.Errorf("code %d is not in the dictionary", highest)
	}
	data := array.NewData(arrow.PrimitiveTypes.Int32, n, []*memory.Buffer{v.buffer(), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(codes))}, nil, v.nulls, 0)
	defer data.Release()
	return array.NewDictionaryArray(codeType, array.MakeFromData(data), d.dict), nil
}

// nextStrings reads strings of plain pages, and of coded pages in front of them in
// a chunk that gave its dictionary up.
func (d *decoder) nextStrings(n int) (arrow.Array, error) {
	var out []byte
	var v validity
	offsets := append(make([]int32, 0, n+1), 0)
	for done := 0; done < n; {
		if d.row == d.rows {
			if err := d.load(); err != nil {
				return nil, err
			}
		}
		m := min(n-done, d.rows-d.row)
		levels := d.levels
		if levels == nil {
			v.present(done, m)
		} else {
			levels = levels[d.row : d.row+m]
			v.add(done, n, levels)
		}
		if out, offsets = d.appendStrings(out, offsets, m, levels); len(out) > math.MaxInt32 {
			return nil, fmt.Errorf("%d rows hold more than 2 GiB", n)
		}
		d.row += m
		done += m
	}
	data := array.NewData(arrow.BinaryTypes.String, n, []*memory.Buffer{v.buffer(), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(out)}, nil, v.nulls, 0)
	defer data.Release()
	return array.NewStringData(data), nil
}

// appendStrings appends the page's next m rows.
func (d *decoder) appendStrings(out []byte, offsets []int32, m int, levels []byte) ([]byte, []int32) {
	data := d.page.Data()
	if d.page.Dictionary() != nil {
		codes := data.Int32()
		for i := range m {
			if levels == nil || levels[i] != 0 {
				out = append(out, d.dict.Value(int(codes[d.value]))...)
				d.value++
			}
			offsets = append(offsets, int32(len(out)))
		}
		return out, offsets
	}
	values, ends := data.ByteArray()
	for i := range m {
		if levels == nil || levels[i] != 0 {
			out = append(out, values[ends[d.value]:ends[d.value+1]]...)
			d.value++
		}
		offsets = append(offsets, int32(len(out)))
	}
	return out, offsets
}

// newStrings returns an Arrow array of the byte strings between the offsets.
func newStrings(values []byte, offsets []uint32) *array.String {
	if len(offsets) == 0 {
		offsets = []uint32{0}
	}
	ends := make([]int32, len(offsets))
	for i, o := range offsets {
		_ = values[offsets[max(i, 1)-1]:o] // A malformed dictionary must fail here, where it is caught.
		ends[i] = int32(o)
	}
	data := array.NewData(arrow.BinaryTypes.String, len(offsets)-1, []*memory.Buffer{nil,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(ends)), memory.NewBufferBytes(append([]byte(nil), values...))}, nil, 0, 0)
	defer data.Release()
	return array.NewStringData(data)
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
