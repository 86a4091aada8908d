package object

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/encoding"
)

// nextCodes returns the next n rows as dictionary codes. It checks that they are in the dictionary,
// because the caller would panic at another code.
func (d *decoder) nextCodes(n int) (arrow.Array, error) {
	codes, v, err := gather(d, n, func(v encoding.Values) []int32 { return v.Int32() })
	if err != nil {
		return nil, err
	}
	highest := uint32(0)
	for _, c := range codes {
		highest = max(highest, uint32(c))
	}
	if d.dictionary == nil || int64(highest) >= int64(d.dictionary.Len()) && v.nulls < n {
		return nil, fmt.Errorf("code %d is not in the dictionary", highest)
	}
	data := array.NewData(arrow.PrimitiveTypes.Int32, n,
		[]*memory.Buffer{v.buffer(), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(codes))}, nil, v.nulls, 0)
	defer data.Release()
	return array.NewDictionaryArray(codeType, array.MakeFromData(data), d.dictionary), nil
}

// nextStrings returns the next n rows as strings. The pages are plain, or coded pages at the
// beginning of a chunk that gave up its dictionary.
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
			v.setPresent(done, m)
		} else {
			levels = levels[d.row : d.row+m]
			v.setLevels(done, n, levels)
		}
		if out, offsets = d.appendStrings(out, offsets, m, levels); len(out) > math.MaxInt32 {
			return nil, fmt.Errorf("%d rows hold more than 2 GiB", n)
		}
		d.row += m
		done += m
	}
	data := array.NewData(arrow.BinaryTypes.String, n,
		[]*memory.Buffer{v.buffer(), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)),
			memory.NewBufferBytes(out)}, nil, v.nulls, 0)
	defer data.Release()
	return array.NewStringData(data), nil
}

// appendStrings appends the next m rows of the page.
func (d *decoder) appendStrings(out []byte, offsets []int32, m int, levels []byte) ([]byte, []int32) {
	data := d.page.Data()
	if d.page.Dictionary() != nil {
		codes := data.Int32()
		for i := range m {
			if levels == nil || levels[i] != 0 {
				out = append(out, d.dictionary.Value(int(codes[d.value]))...)
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
		_ = values[offsets[max(i, 1)-1]:o] // A malformed dictionary must panic here, where guard recovers.
		ends[i] = int32(o)
	}
	data := array.NewData(arrow.BinaryTypes.String, len(offsets)-1, []*memory.Buffer{nil,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(ends)),
		memory.NewBufferBytes(append([]byte(nil), values...))}, nil, 0, 0)
	defer data.Release()
	return array.NewStringData(data)
}
