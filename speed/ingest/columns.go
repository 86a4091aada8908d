package ingest

import (
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// text is a column of strings in Arrow's layout: row i is data[off[i]:off[i+1]].
type text struct {
	off  []int32
	data []byte
}

func (t *text) append(b []byte) {
	t.data = append(t.data, b...)
	t.off = append(t.off, int32(len(t.data)))
}

func (t *text) value(i int) []byte { return t.data[t.off[i]:t.off[i+1]] }

func (t *text) appendAll(from *text) {
	base := int32(len(t.data))
	t.data = append(t.data, from.data...)
	for _, o := range from.off[1:] {
		t.off = append(t.off, base+o)
	}
}

func (t *text) reset() {
	t.off = append(t.off[:0], 0)
	t.data = t.data[:0]
}

// mask says which rows of a column have a value: one byte a row, 1 or 0, because
// bytes gather with a copy and bits do not. A frame packs them once.
type mask struct {
	rows  []byte
	nulls int
}

func (m *mask) append(valid bool) {
	if valid {
		m.rows = append(m.rows, 1)
		return
	}
	m.rows = append(m.rows, 0)
	m.nulls++
}

func (m *mask) appendAll(from *mask) {
	m.rows = append(m.rows, from.rows...)
	m.nulls += from.nulls
}

func (m *mask) reset() {
	m.rows = m.rows[:0]
	m.nulls = 0
}

// column is a declared field: text for strings, else num with the bits of a
// float64, 0 or 1 for a bool, microseconds for a timestamp. Null rows hold zero.
type column struct {
	text  text
	num   []int64
	valid mask
}

// columns are events of one type in plain slices, all of length n.
type columns struct {
	typ     *eventType
	n       int
	bytes   int // estimate of the size in a frame, never too small
	key     []byte
	flags   []byte
	hash    []uint64
	time    []int64
	id      text
	source  text
	subject text
	extra   text
	over    text

	hasSubject, hasExtra, hasOver mask

	fields []column
}

func newColumns(t *eventType) columns {
	c := columns{typ: t, fields: make([]column, len(t.fields))}
	c.reset()
	return c
}

func (c *columns) reset() {
	c.n = 0
	c.bytes = 0
	c.key = c.key[:0]
	c.flags = c.flags[:0]
	c.hash = c.hash[:0]
	c.time = c.time[:0]
	for _, t := range []*text{&c.id, &c.source, &c.subject, &c.extra, &c.over} {
		t.reset()
	}
	c.hasSubject.reset()
	c.hasExtra.reset()
	c.hasOver.reset()
	for i := range c.fields {
		f := &c.fields[i]
		f.text.reset()
		f.num = f.num[:0]
		f.valid.reset()
	}
}

// appendAll adds the rows of from, a batch of the same type, with copies alone.
func (c *columns) appendAll(from *columns) {
	c.n += from.n
	c.bytes += from.bytes
	c.key = append(c.key, from.key...)
	c.flags = append(c.flags, from.flags...)
	c.hash = append(c.hash, from.hash...)
	c.time = append(c.time, from.time...)
	c.id.appendAll(&from.id)
	c.source.appendAll(&from.source)
	c.subject.appendAll(&from.subject)
	c.extra.appendAll(&from.extra)
	c.over.appendAll(&from.over)
	c.hasSubject.appendAll(&from.hasSubject)
	c.hasExtra.appendAll(&from.hasExtra)
	c.hasOver.appendAll(&from.hasOver)
	for i := range c.fields {
		to := &c.fields[i]
		f := &from.fields[i]
		to.valid.appendAll(&f.valid)
		if c.typ.fields[i].kind == catalog.String {
			to.text.appendAll(&f.text)
		} else {
			to.num = append(to.num, f.num...)
		}
	}
}

// row is one checked event before it enters columns, so that a refused one leaves
// no trace in them. Its slices are valid until the next event.
type row struct {
	key     eventbatch.Key
	flags   byte
	hash    uint64
	time    int64
	id      []byte
	source  []byte
	subject []byte // empty when missing
	extra   []byte // empty when there is none
	over    []byte // names of the dimensions whose value is one too many; empty when there are none
	slots   []slot // per declared field
}

// slot is the value of a declared field of one event.
type slot struct {
	state slotState
	num   int64
	text  []byte
}

type slotState uint8

const (
	unset slotState = iota
	null
	present
)

// fixedRow is what a row takes beside its strings and fields: key, flags, hash,
// time, the offsets of five strings and the tenant's, the bits of three masks.
const fixedRow = eventbatch.KeySize + 1 + 8 + 8 + 6*4 + 1

// rowBytes is the most the row adds to a frame.
func (t *eventType) rowBytes(r *row, tenant int) int {
	n := fixedRow + tenant + 9*len(t.fields) + len(r.id) + len(r.source) + len(r.subject) + len(r.extra) + len(r.over)
	for i := range r.slots {
		n += len(r.slots[i].text)
	}
	return n
}

func (c *columns) append(r *row, bytes int) {
	c.n++
	c.bytes += bytes
	c.key = append(c.key, r.key[:]...)
	c.flags = append(c.flags, r.flags)
	c.hash = append(c.hash, r.hash)
	c.time = append(c.time, r.time)
	c.id.append(r.id)
	c.source.append(r.source)
	c.subject.append(r.subject)
	c.extra.append(r.extra)
	c.over.append(r.over)
	c.hasSubject.append(len(r.subject) > 0)
	c.hasExtra.append(len(r.extra) > 0)
	c.hasOver.append(len(r.over) > 0)
	for i := range r.slots {
		f := &c.fields[i]
		s := &r.slots[i]
		f.valid.append(s.state == present)
		if c.typ.fields[i].kind == catalog.String {
			f.text.append(s.text)
		} else {
			f.num = append(f.num, s.num)
		}
	}
}
