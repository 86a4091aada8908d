package ingest

import (
	"encoding/binary"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// frame is the scratch memory of one log message of a type.
type frame struct {
	gathered columns
	tenant   text
	buf      []byte
}

// encode builds the message for chunks of one type, from any requests and tenants. It sets the
// field first of each chunk.
func (f *frame) encode(chunks []*chunk, appended int64) ([]byte, error) {
	gathered := f.gather(chunks)
	f.fillTenants(chunks)
	record := f.makeRecord(gathered)
	defer record.Release()
	t := gathered.eventType
	frame, err := eventbatch.Append(f.buf[:0], t.name, t.generation, appended, record)
	if err == nil {
		f.buf = frame
	}
	return frame, err
}

// gather returns the columns of all chunks. The columns of a single chunk are not copied.
func (f *frame) gather(chunks []*chunk) *columns {
	if len(chunks) == 1 {
		chunks[0].first = 0
		return &chunks[0].columns
	}
	f.gathered.reset()
	for _, c := range chunks {
		c.first = f.gathered.n
		f.gathered.appendAll(&c.columns)
	}
	return &f.gathered
}

// fillTenants fills the column that has the tenant of each event.
func (f *frame) fillTenants(chunks []*chunk) {
	f.tenant.reset()
	for _, c := range chunks {
		for range c.n {
			f.tenant.data = append(f.tenant.data, c.tenant...)
			f.tenant.offsets = append(f.tenant.offsets, int32(len(f.tenant.data)))
		}
	}
}

// makeRecord returns an Arrow record that uses the memory of the columns. It is valid until
// they change.
func (f *frame) makeRecord(c *columns) arrow.Record {
	schema := c.eventType.schema
	if c.hasOverflow.nulls < c.n {
		schema = c.eventType.overflowSchema
	}
	arrays := make([]arrow.Array, 0, schema.NumFields())
	add := func(m *mask, bufs ...[]byte) {
		arrays = append(arrays, newArray(schema.Field(len(arrays)).Type, c.n, m, bufs))
	}
	addText := func(m *mask, t *text) { add(m, arrow.Int32Traits.CastToBytes(t.offsets), t.data) }
	add(nil, c.key)
	addText(nil, &f.tenant)
	add(nil, c.flags)
	add(nil, arrow.Uint64Traits.CastToBytes(c.hash))
	addText(nil, &c.id)
	add(nil, arrow.Int64Traits.CastToBytes(c.time))
	addText(nil, &c.source)
	addText(&c.hasSubject, &c.subject)
	addText(&c.hasExtra, &c.extra)
	for i := range c.fields {
		column := &c.fields[i]
		switch c.eventType.fields[i].kind {
		case catalog.String:
			addText(&column.valid, &column.text)
		case catalog.Bool:
			add(&column.valid, packInts(column.numbers))
		default:
			add(&column.valid, arrow.Int64Traits.CastToBytes(column.numbers))
		}
	}
	if schema == c.eventType.overflowSchema {
		addText(&c.hasOverflow, &c.overflow)
	}
	record := array.NewRecord(schema, arrays, int64(c.n))
	for _, a := range arrays {
		a.Release()
	}
	return record
}

// newArray returns an array that uses the given buffers. m is nil for a column that has no nulls.
func newArray(t arrow.DataType, n int, m *mask, bufs [][]byte) arrow.Array {
	buffers := make([]*memory.Buffer, 1, 3)
	nulls := 0
	if m != nil && m.nulls > 0 {
		nulls = m.nulls
		buffers[0] = memory.NewBufferBytes(packBits(m.rows))
	}
	for _, b := range bufs {
		buffers = append(buffers, memory.NewBufferBytes(b))
	}
	data := array.NewData(t, n, buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// packBits turns bytes of 0 or 1 into bits. The first byte becomes the lowest bit.
func packBits(rows []byte) []byte {
	bits := make([]byte, (len(rows)+7)/8)
	i := 0
	for ; i+8 <= len(rows); i += 8 {
		// The product moves byte k's lowest bit to bit 56+k.
		bits[i/8] = byte(binary.LittleEndian.Uint64(rows[i:]) * 0x0102040810204080 >> 56)
	}
	for ; i < len(rows); i++ {
		bits[i/8] |= rows[i] << (i % 8)
	}
	return bits
}

// packInts does the same for integers of 0 or 1.
func packInts(rows []int64) []byte {
	bits := make([]byte, (len(rows)+7)/8)
	for i, v := range rows {
		bits[i/8] |= byte(v) << (i % 8)
	}
	return bits
}
