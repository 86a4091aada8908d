package landing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// segment is the open segment: the columns of its events, by event type. It holds at most as much
// as the cut rule allows, and one message more.
type segment struct {
	start     position.Offset
	partition int
	bucket    time.Duration
	events    int64
	bytes     int64                      // of messages, as the cut rule counts them
	tables    map[string][]*object.Table // by event type; two or more if a field changed its type
}

// newSegment opens the segment at the head of the chain.
func newSegment(c *record.Chain) *segment {
	return &segment{start: c.Head, partition: c.Partition, bucket: c.Bucket, tables: map[string][]*object.Table{}}
}

// add appends the events of a message. The checksum of the frame only says that it is as it was
// written. Events that cannot be columns are eventbatch.ErrCorrupt, and so is a panic of Arrow.
func (s *segment) add(m eventbatch.Message, h eventbatch.Header, batches []eventbatch.Columns) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", eventbatch.ErrCorrupt, p)
		}
	}()
	index := 0
	for _, b := range batches {
		t, err := s.table(h.Type, b)
		if err != nil {
			return err
		}
		if err := t.Append(position.Offset{Epoch: s.start.Epoch, Seq: m.Seq}, index, b); err != nil {
			return err
		}
		index += int(b.Rec.NumRows())
	}
	s.events += int64(h.Events)
	s.bytes += h.Bytes
	return nil
}

// table returns the table that can hold the batch. It does not ask the catalog, because events of a
// type that the catalog no longer has must land too.
func (s *segment) table(eventType string, b eventbatch.Columns) (*object.Table, error) {
	for _, t := range s.tables[eventType] {
		if t.Accepts(b) {
			return t, nil
		}
	}
	t := object.NewTable(eventType, s.partition, s.start.Epoch, s.bucket)
	if !t.Accepts(b) {
		return nil, fmt.Errorf("%w: columns of type %s: %v", eventbatch.ErrCorrupt, eventType, b.Rec.Schema())
	}
	s.tables[eventType] = append(s.tables[eventType], t)
	return t, nil
}

// sortedTables returns the tables in the order of their types.
func (s *segment) sortedTables() []*object.Table {
	var out []*object.Table
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		out = append(out, s.tables[name]...)
	}
	return out
}
