package object

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// Table collects the events of one segment and event type in log order, until they are encoded as one
// object (C2). It keeps the batches as they are, because columns that grow would be copied several times.
// The types of declared fields are those of the batches, so events of a type that the catalog no longer
// has still land.
type Table struct {
	eventType string
	partition int
	epoch     uint32
	bucket    time.Duration

	rows      int
	batches   []eventbatch.Columns
	small     []eventbatch.Columns // the newest batches, which will be joined
	smallRows int
	messages  []messageRows
	declared  map[string]kind // by the name of the field
	mixed     bool            // some event may have a field of the object among its undeclared ones
}

// messageRows are the rows of a batch: the sequence of their message, and the index of the first in it.
type messageRows struct {
	seq   uint64
	index uint32
	rows  uint32
}

// Batches of fewer than joinRows rows are joined, because the Arrow arrays of a batch need several kilobytes. At most
// joinBatches wait for that.
const (
	joinRows    = 1024
	joinBatches = 64
)

// NewTable returns an empty table. bucket is the width of a bucket.
func NewTable(eventType string, partition int, epoch uint32, bucket time.Duration) *Table {
	return &Table{eventType: eventType, partition: partition, epoch: epoch, bucket: bucket,
		declared: map[string]kind{}}
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
		if declared, there := t.declared[f.Name]; !ok || there && declared != k {
			return false
		}
	}
	return true
}

// Append adds the batch. Its first event has the index in the message at the offset. Batches must come
// in log order. The table keeps the batch, which the caller must neither change nor release. Errors wrap
// eventbatch.ErrCorrupt, and after one the table must not be used.
func (t *Table) Append(at position.Offset, index int, b eventbatch.Columns) error {
	if !t.Accepts(b) || at.Epoch != t.epoch {
		return fmt.Errorf("%w: batch of type %s at %v does not fit its table: %v", eventbatch.ErrCorrupt, t.eventType,
			at, b.Rec.Schema())
	}
	if err := checkBatch(b); err != nil {
		return err
	}
	t.declare(b)
	n := int(b.Rec.NumRows())
	t.messages = append(t.messages, messageRows{at.Seq, uint32(index), uint32(n)})
	t.rows += n
	return t.keep(b)
}

// declare adds the fields that no earlier batch had.
func (t *Table) declare(b eventbatch.Columns) {
	for _, f := range b.Rec.Schema().Fields() {
		if _, ok := t.declared[f.Name]; isBase(f.Name) || ok {
			continue
		}
		t.declared[f.Name], _ = kindOf(f.Type)
		t.mixed = t.mixed || t.rows > 0
	}
	for name := range t.declared {
		t.mixed = t.mixed || b.Field(name) == nil
	}
	t.mixed = t.mixed || b.HasFlag(eventbatch.FlagUndeclaredValue)
}

// keep adds the batch to those that are encoded, or to those that are joined first.
func (t *Table) keep(b eventbatch.Columns) error {
	n := int(b.Rec.NumRows())
	if n >= joinRows {
		if err := t.join(); err != nil {
			return err
		}
		t.batches = append(t.batches, b)
		return nil
	}
	t.small = append(t.small, b)
	if t.smallRows += n; t.smallRows < joinRows && len(t.small) < joinBatches {
		return nil
	}
	return t.join()
}

// join makes one batch of the small ones. A batch without a column of another one has nulls there.
func (t *Table) join() error {
	if len(t.small) == 0 {
		return nil
	}
	var fields []arrow.Field
	var columns []arrow.Array
	names := map[string]bool{}
	for _, b := range t.small {
		for _, f := range b.Rec.Schema().Fields() {
			if names[f.Name] {
				continue
			}
			names[f.Name] = true
			column, err := t.joinColumn(f)
			if err != nil {
				return fmt.Errorf("%w: join columns %s: %w", eventbatch.ErrCorrupt, f.Name, err)
			}
			fields = append(fields, f)
			columns = append(columns, column)
		}
	}
	b, err := eventbatch.NewColumns(array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(t.smallRows)))
	if err != nil {
		return err
	}
	t.batches = append(t.batches, b)
	t.small = nil
	t.smallRows = 0
	return nil
}

// joinColumn joins a column of the small batches.
func (t *Table) joinColumn(f arrow.Field) (arrow.Array, error) {
	parts := make([]arrow.Array, len(t.small))
	for i, b := range t.small {
		if parts[i] = b.Field(f.Name); parts[i] == nil {
			parts[i] = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, int(b.Rec.NumRows()))
		}
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// checkBatch checks that the columns of every event are there and that no value is outside the memory of
// its column. Then nothing can fail when the table is encoded, long after the message was read.
func checkBatch(b eventbatch.Columns) error {
	for _, c := range baseColumns() {
		if a := b.Field(c.name); !c.optional && (a == nil || a.NullN() > 0) {
			return fmt.Errorf("%w: column %s is missing or has nulls", eventbatch.ErrCorrupt, c.name)
		}
	}
	for i, a := range b.Rec.Columns() {
		if a.Len() > 0 && !inBounds(a) {
			return fmt.Errorf("%w: column %s has values outside its memory", eventbatch.ErrCorrupt,
				b.Rec.ColumnName(i))
		}
	}
	return nil
}

// inBounds reports whether all values are in the memory of the array. Arrow checks the last offset of
// strings only. A bitmap that is too short panics.
func inBounds(a arrow.Array) bool {
	last := a.Len() - 1
	_ = a.IsNull(last)
	switch a := a.(type) {
	case *array.Boolean:
		_ = a.Value(last)
	case *array.FixedSizeBinary:
		_ = a.Value(last)
	case *array.String:
		offsets := a.ValueOffsets()
		for i, o := range offsets[1:] {
			if o < offsets[i] {
				return false
			}
		}
		return offsets[0] >= 0
	}
	return true
}

// EventType returns the event type with the declared fields of the batches.
func (t *Table) EventType() *catalog.EventType {
	e := &catalog.EventType{Name: t.eventType, Fields: []catalog.Field{}}
	for name, k := range t.declared {
		e.Fields = append(e.Fields, catalog.Field{Name: name, Type: k.fieldType()})
	}
	slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// Tenants returns how many of the table's events each tenant sent.
func (t *Table) Tenants() map[string]int64 {
	out := map[string]int64{}
	for _, b := range t.all() {
		for i := 0; i < b.Tenant.Len(); {
			from := i
			tenant := b.Tenant.Value(i)
			for i < b.Tenant.Len() && b.Tenant.Value(i) == tenant {
				i++
			}
			out[strings.Clone(tenant)] += int64(i - from)
		}
	}
	return out
}

// all returns the batches in log order.
func (t *Table) all() []eventbatch.Columns { return append(slices.Clone(t.batches), t.small...) }
