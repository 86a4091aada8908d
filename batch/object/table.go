package object

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// Table collects the events of one segment and event type in columns, in log order, until they are
// encoded as one object (C2). The types of declared fields are those of the batches, so events of a
// type that the catalog no longer has still land.
type Table struct {
	eventType string
	partition int
	epoch     uint32
	bucket    time.Duration

	rows     int
	base     []*column // in the order of baseColumns
	seq      *column
	index    *column
	declared map[string]*column // by the name of the field
	mixed    bool               // some batch lacks a field that another one declares
}

// NewTable returns an empty table. bucket is the width of a bucket.
func NewTable(eventType string, partition int, epoch uint32, bucket time.Duration) *Table {
	return &Table{
		eventType: eventType, partition: partition, epoch: epoch, bucket: bucket,
		base: baseColumns(), declared: map[string]*column{},
		seq: &column{name: ColSeq, kind: kindInt64}, index: &column{name: ColIndex, kind: kindInt32},
	}
}

// Accepts reports whether the table can hold the batch: no declared field has another type in it. If
// a field changed its type within a segment, two tables hold the events of that event type. To refuse
// the batch would stop the partition for good.
func (t *Table) Accepts(b eventbatch.Columns) bool {
	for _, f := range b.Rec.Schema().Fields() {
		if isBase(f.Name) {
			continue
		}
		k, ok := kindOf(f.Type)
		if c := t.declared[f.Name]; !ok || c != nil && c.kind != k {
			return false
		}
	}
	return true
}

// Append adds the batch. Its first event has the index in the message at the offset. Batches must come
// in log order. The memory of the batch is not kept. Errors wrap eventbatch.ErrCorrupt, and after one
// the table must not be used.
func (t *Table) Append(at position.Offset, index int, b eventbatch.Columns) error {
	if !t.Accepts(b) || at.Epoch != t.epoch {
		return fmt.Errorf("%w: batch of type %s at %v does not fit its table: %v", eventbatch.ErrCorrupt, t.eventType,
			at, b.Rec.Schema())
	}
	n := int(b.Rec.NumRows())
	for _, c := range t.base {
		if err := c.append(b.Field(c.name), n); err != nil {
			return err
		}
	}
	t.declare(b)
	for name := range t.declared {
		t.mixed = t.mixed || b.Field(name) == nil
	}
	for name, c := range t.declared {
		if err := c.append(b.Field(name), n); err != nil {
			return err
		}
	}
	for i := range n {
		t.seq.words = append(t.seq.words, at.Seq)
		t.index.words = append(t.index.words, uint64(index+i))
	}
	t.rows += n
	t.seq.rows = t.rows
	t.index.rows = t.rows
	return nil
}

// declare adds the columns of the fields that no earlier batch had. Their rows so far are null.
func (t *Table) declare(b eventbatch.Columns) {
	for _, f := range b.Rec.Schema().Fields() {
		if isBase(f.Name) || t.declared[f.Name] != nil {
			continue
		}
		k, _ := kindOf(f.Type)
		c := &column{name: f.Name, kind: k, optional: true}
		if t.rows > 0 {
			t.mixed = true
			_ = c.append(nil, t.rows) // An optional column accepts nulls, so this cannot fail.
		}
		t.declared[f.Name] = c
	}
}

// EventType returns the event type with the declared fields of the batches.
func (t *Table) EventType() *catalog.EventType {
	e := &catalog.EventType{Name: t.eventType, Fields: []catalog.Field{}}
	for name, c := range t.declared {
		e.Fields = append(e.Fields, catalog.Field{Name: name, Type: fieldTypes[c.kind]})
	}
	slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// columns returns all columns but the constants.
func (t *Table) columns() []*column {
	out := append(slices.Clone(t.base), t.seq, t.index)
	for _, c := range t.declared {
		out = append(out, c)
	}
	return out
}
