package object

import (
	"bytes"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"recount/schemas/eventbatch"
)

// pageValues is memory for the values of a page.
type pageValues struct {
	rows   []uint32 // that are not null
	levels []byte   // definition level of each row
	codes  []int32
	ints   []int64
	small  []int32
	floats []float64
	bytes  []byte
	ends   []uint32
}

// present returns the rows of the page that have values, and sets levels: 1 for a value, 0 for a null.
func (p *pageValues) present(c *column, rows []uint32) []uint32 {
	p.levels = p.levels[:0]
	p.rows = p.rows[:0]
	if len(c.present) == 0 {
		for range rows {
			p.levels = append(p.levels, 1)
		}
		return rows
	}
	for _, r := range rows {
		if c.present[r] {
			p.levels = append(p.levels, 1)
			p.rows = append(p.rows, r)
		} else {
			p.levels = append(p.levels, 0)
		}
	}
	return p.rows
}

// gather returns the values of the rows.
func (p *pageValues) gather(c *column, rows []uint32) encoding.Values {
	p.bytes = p.bytes[:0]
	switch c.kind {
	case kindString:
		p.ends = append(p.ends[:0], 0)
		for _, r := range rows {
			p.bytes = append(p.bytes, c.stringAt(r)...)
			p.ends = append(p.ends, uint32(len(p.bytes)))
		}
		if len(p.bytes) == 0 { // parquet-go writes no bounds for such a page.
			return encoding.ByteArrayValues(nil, p.ends)
		}
		return encoding.ByteArrayValues(p.bytes, p.ends)
	case kindKey:
		for _, r := range rows {
			p.bytes = append(p.bytes, c.keyAt(r)...)
		}
		return encoding.FixedLenByteArrayValues(p.bytes, eventbatch.KeySize)
	case kindFloat64:
		p.floats = p.floats[:0]
		for _, r := range rows {
			p.floats = append(p.floats, math.Float64frombits(c.words[r]))
		}
		return encoding.DoubleValues(p.floats)
	case kindBool:
		p.bytes = append(p.bytes, make([]byte, (len(rows)+7)/8)...)
		for i, r := range rows {
			p.bytes[i/8] |= byte(c.words[r]) << (i % 8)
		}
		return encoding.BooleanValues(p.bytes)
	case kindUint8, kindInt32:
		p.small = p.small[:0]
		for _, r := range rows {
			p.small = append(p.small, int32(c.words[r]))
		}
		return encoding.Int32Values(p.small)
	}
	p.ints = p.ints[:0]
	for _, r := range rows {
		p.ints = append(p.ints, int64(c.words[r]))
	}
	return encoding.Int64Values(p.ints)
}

// dictionary is the dictionary of a chunk of strings, in the order in which they come.
type dictionary struct {
	text    []byte
	ends    []uint32 // ends[i] is where the value with code i begins
	numbers map[string]int32
	seen    []bool // by code, while bounds runs
}

func newDictionary() *dictionary {
	return &dictionary{text: []byte{}, ends: []uint32{0}, numbers: map[string]int32{}}
}

func (d *dictionary) value(code int32) []byte { return d.text[d.ends[code]:d.ends[code+1]] }

// codes appends the codes of the rows. Values that are not in the dictionary are added to it.
func (d *dictionary) codes(out []int32, c *column, rows []uint32) []int32 {
	var last []byte
	code := int32(-1)
	for _, r := range rows {
		s := c.stringAt(r)
		if code < 0 || !bytes.Equal(s, last) {
			code = d.code(s)
			last = s
		}
		out = append(out, code)
	}
	return out
}

func (d *dictionary) code(s []byte) int32 {
	code, ok := d.numbers[string(s)]
	if !ok {
		code = int32(len(d.ends) - 1)
		d.text = append(d.text, s...)
		d.ends = append(d.ends, uint32(len(d.text)))
		d.numbers[string(s)] = code
	}
	return code
}

// bounds returns the lowest and the highest value of the codes.
func (d *dictionary) bounds(codes []int32) (low, high parquet.Value) {
	if len(codes) == 0 {
		return low, high
	}
	d.seen = append(d.seen[:0], make([]bool, len(d.ends)-1)...)
	first := d.value(codes[0])
	lowest := first
	highest := first
	for _, c := range codes {
		if d.seen[c] {
			continue
		}
		d.seen[c] = true
		v := d.value(c)
		if bytes.Compare(v, lowest) < 0 {
			lowest = v
		}
		if bytes.Compare(v, highest) > 0 {
			highest = v
		}
	}
	return parquet.ByteArrayValue(lowest), parquet.ByteArrayValue(highest)
}
