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

// Table collects the events of one segment and event type in columns, in log
// order, until they are written as one Parquet object (C2). It takes the types of
// declared fields from the batches themselves, so that events of a type that the
// catalog no longer has still land.
type Table struct {
	eventType string
	partition int
	epoch     uint32
	bucket    time.Duration

	rows     int
	base     []*column // baseColumns, in that order
	seq      *column
	index    *column
	declared map[string]*column
}

// NewTable returns an empty table. Bucket is the width of a bucket.
func NewTable(eventType string, partition int, epoch uint32, bucket time.Duration) *Table {
	return &Table{
		eventType: eventType, partition: partition, epoch: epoch, bucket: bucket,
		base: baseColumns(), declared: map[string]*column{},
		seq: &column{name: ColSeq, kind: kindInt64}, index: &column{name: ColIndex, kind: kindInt32},
	}
}

// Accepts reports whether the table can hold the batch: no declared field has
// another type in it. Where a field changed its type, two tables take a segment's
// events of one event type; refusing would stop the partition for good.
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

// Append adds the batch, whose first event is the one of the index in the message
// at the offset. Batches must come in log order. The batch's memory is not kept. After
// an error, which wraps eventbatch.ErrCorrupt, the table is of no use.
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

// declare adds the columns of fields that no batch before had, null so far.
func (t *Table) declare(b eventbatch.Columns) {
	for _, f := range b.Rec.Schema().Fields() {
		if isBase(f.Name) || t.declared[f.Name] != nil {
			continue
		}
		k, _ := kindOf(f.Type)
		c := &column{name: f.Name, kind: k, optional: true}
		if t.rows > 0 {
			_ = c.append(nil, t.rows) // Nulls always fit an optional column.
		}
		t.declared[f.Name] = c
	}
}

// EventType returns the declared fields of the table's batches as an event type.
func (t *Table) EventType() *catalog.EventType {
	e := &catalog.EventType{Name: t.eventType, Fields: []catalog.Field{}}
	for name, c := range t.declared {
		e.Fields = append(e.Fields, catalog.Field{Name: name, Type: fieldTypes[c.kind]})
	}
	slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// columns returns all columns whose values differ between rows.
func (t *Table) columns() []*column {
	out := append(slices.Clone(t.base), t.seq, t.index)
	for _, c := range t.declared {
		out = append(out, c)
	}
	return out
}
