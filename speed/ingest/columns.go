package ingest

import (
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// text is a column of strings in Arrow's layout: row i is data[offsets[i]:offsets[i+1]].
type text struct {
	offsets []int32
	data    []byte
}

func (t *text) append(b []byte) {
	t.data = append(t.data, b...)
	t.offsets = append(t.offsets, int32(len(t.data)))
}

func (t *text) value(i int) []byte { return t.data[t.offsets[i]:t.offsets[i+1]] }

func (t *text) appendAll(from *text) {
	base := int32(len(t.data))
	t.data = append(t.data, from.data...)
	for _, o := range from.offsets[1:] {
		t.offsets = append(t.offsets, base+o)
	}
}

func (t *text) reset() {
	t.offsets = append(t.offsets[:0], 0)
	t.data = t.data[:0]
}

// mask says which rows of a column have a value, with 1 or 0 in a byte per row. The bytes of
// several masks are appended with a copy, which bits do not allow. A frame packs them into
// bits once.
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

// column is a declared field: text for a string, and numbers for all other types. numbers has the bits of a float64, 0
// or 1 for a bool, microseconds for a timestamp, and units of the last digit for a decimal. Null is zero.
type column struct {
	text    text
	numbers []int64
	valid   mask
	coerced int // values that were converted (catalog.Field.Coerce)
}

// columns are n events of one type in plain slices.
type columns struct {
	eventType *eventType
	n         int
	coerced   int // events of which a value was converted
	bytes     int // at least their size in a frame
	key       []byte
	flags     []byte
	hash      []uint64
	time      []int64
	id        text
	source    text
	subject   text
	extra     text
	overflow  text

	hasSubject, hasExtra, hasOverflow mask

	fields []column
}

func newColumns(t *eventType) columns {
	c := columns{eventType: t, fields: make([]column, len(t.fields))}
	c.reset()
	return c
}

func (c *columns) reset() {
	c.n = 0
	c.coerced = 0
	c.bytes = 0
	c.key = c.key[:0]
	c.flags = c.flags[:0]
	c.hash = c.hash[:0]
	c.time = c.time[:0]
	for _, t := range []*text{&c.id, &c.source, &c.subject, &c.extra, &c.overflow} {
		t.reset()
	}
	c.hasSubject.reset()
	c.hasExtra.reset()
	c.hasOverflow.reset()
	for i := range c.fields {
		f := &c.fields[i]
		f.text.reset()
		f.numbers = f.numbers[:0]
		f.valid.reset()
		f.coerced = 0
	}
}

// appendAll appends the rows of from, which has the same type.
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
	c.overflow.appendAll(&from.overflow)
	c.hasSubject.appendAll(&from.hasSubject)
	c.hasExtra.appendAll(&from.hasExtra)
	c.hasOverflow.appendAll(&from.hasOverflow)
	for i := range c.fields {
		to := &c.fields[i]
		f := &from.fields[i]
		to.valid.appendAll(&f.valid)
		if c.eventType.fields[i].kind == catalog.String {
			to.text.appendAll(&f.text)
		} else {
			to.numbers = append(to.numbers, f.numbers...)
		}
	}
}

// row is an event before it enters columns, so that a refused event leaves no trace in them.
// Its slices are valid until the next event.
type row struct {
	key      eventbatch.Key
	flags    byte
	hash     uint64
	time     int64
	id       []byte
	source   []byte
	subject  []byte // empty when missing
	extra    []byte // empty when there is nothing undeclared
	overflow []byte // names of the dimensions whose value is too many; mostly empty
	slots    []slot // of declared fields
}

// slot is the value of a declared field of one event.
type slot struct {
	state   slotState
	coerced bool // the value was converted (catalog.Field.Coerce)
	number  int64
	text    []byte
	counted []byte    // what readers make of a number that is kept undeclared in place of a text, for caps
	exact   canonical // of the number that was sent, for a float64 and a decimal
}

type slotState uint8

const (
	unset slotState = iota
	null
	present
)

// fixedRow is the size of a row without its strings and fields: key, flags, hash, time, the
// offsets of six strings, and the bits of three masks.
const fixedRow = eventbatch.KeySize + 1 + 8 + 8 + 6*4 + 1

// rowBytes is the most that the row adds to a frame.
func (t *eventType) rowBytes(r *row, tenant int) int {
	n := fixedRow + tenant + 9*len(t.fields)
	n += len(r.id) + len(r.source) + len(r.subject) + len(r.extra) + len(r.overflow)
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
	c.overflow.append(r.overflow)
	c.hasSubject.append(len(r.subject) > 0)
	c.hasExtra.append(len(r.extra) > 0)
	c.hasOverflow.append(len(r.overflow) > 0)
	coerced := 0
	for i := range r.slots {
		f := &c.fields[i]
		s := &r.slots[i]
		if s.coerced {
			f.coerced++
			coerced = 1
		}
		f.valid.append(s.state == present)
		if c.eventType.fields[i].kind == catalog.String {
			f.text.append(s.text)
		} else {
			f.numbers = append(f.numbers, s.number)
		}
	}
	c.coerced += coerced
}
