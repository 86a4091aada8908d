package realtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// event is an event as the oracle sees it. A missing field is null.
type event struct {
	tenant, id string
	time       int64
	assigned   bool
	fields     map[string]any // source and subject included
	overflowed []string       // fields whose values overflowed

	stored map[string]any // what the message holds of fields that it has in another type
	lost   []string       // fields whose stored value cannot be converted
}

// message is a message of the log and its contents.
type message struct {
	eventType string
	appended  int64
	events    []event
	frame     []byte
}

// memLog is a log in memory.
type memLog struct {
	mu         sync.Mutex
	partitions [][]message // message i has the sequence i+1
	first      []uint64    // first sequence that is not trimmed
	changed    chan struct{}
}

func newMemLog(partitions int) *memLog {
	l := &memLog{partitions: make([][]message, partitions), changed: make(chan struct{})}
	for range partitions {
		l.first = append(l.first, position.First)
	}
	return l
}

func (l *memLog) append(p int, ms ...message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partitions[p] = append(l.partitions[p], ms...)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *memLog) next(p int) uint64 { return uint64(len(l.partitions[p])) + 1 }

func (l *memLog) message(p int, seq uint64) eventbatch.Message {
	return eventbatch.Message{Seq: seq, Frame: l.partitions[p][seq-1].frame}
}

// Read implements Source.
func (l *memLog) Read(_ context.Context, p int, from uint64) (eventbatch.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.first[p] {
		return nil, fmt.Errorf("%w to %d, want %d", position.ErrTrimmed, l.first[p], from)
	}
	return &memReader{log: l, partition: p, seq: from}, nil
}

type memReader struct {
	log       *memLog
	partition int
	seq       uint64
}

func (r *memReader) Close() {}

func (r *memReader) Next(ctx context.Context) (eventbatch.Message, error) {
	for {
		r.log.mu.Lock()
		changed := r.log.changed
		ready := r.seq < r.log.next(r.partition)
		if first := r.log.first[r.partition]; r.seq < first {
			r.log.mu.Unlock()
			return eventbatch.Message{}, fmt.Errorf("%w to %d, want %d", position.ErrTrimmed, first, r.seq)
		}
		if ready {
			r.seq++
			m := r.log.message(r.partition, r.seq-1)
			r.log.mu.Unlock()
			return m, nil
		}
		r.log.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return eventbatch.Message{}, ctx.Err()
		}
	}
}

// boundaries returns the sequences at which segments of the partition's log begin.
func (l *memLog) boundaries(p int, epochs []position.EpochStart) []uint64 {
	out := []uint64{position.First}
	c := position.NewCutter(epochs, position.First)
	for i, m := range l.partitions[p] {
		seq := uint64(i) + 1
		h, err := eventbatch.ReadHeader(m.frame)
		if err != nil {
			panic(err)
		}
		if c.Add(position.Message{Seq: seq, Events: int64(len(m.events)), Bytes: h.Bytes, Appended: m.appended}) {
			out = append(out, seq)
		}
	}
	return out
}

// newMessage encodes events of a type in the given number of batches.
func newMessage(t testing.TB, e *catalog.EventType, appended int64, events []event, batches int) message {
	t.Helper()
	m := message{eventType: e.Name, appended: appended, events: events}
	schema := eventbatch.Schema(e)
	if slices.ContainsFunc(events, func(ev event) bool { return len(ev.overflowed) > 0 }) {
		schema = eventbatch.OverflowSchema(schema)
	}
	var recs []arrow.Record
	for part := range slices.Chunk(events, max(1, (len(events)+batches-1)/batches)) {
		recs = append(recs, newRecord(schema, part))
	}
	var err error
	if m.frame, err = eventbatch.Append(nil, e.Name, 0, appended, recs...); err != nil {
		t.Fatal(err)
	}
	return m
}

func heartbeat(appended int64) message {
	return message{appended: appended, frame: eventbatch.AppendHeartbeat(nil, appended)}
}

func newRecord(schema *arrow.Schema, events []event) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, f := range b.Schema().Fields() {
		for _, ev := range events {
			v, retyped := ev.stored[f.Name]
			if !retyped {
				v = ev.column(f.Name)
			}
			appendValue(b.Field(i), v)
		}
	}
	return b.NewRecord()
}

func (e event) column(name string) any {
	switch name {
	case eventbatch.ColKey:
		k := eventbatch.TenantID.Key(e.tenant, "", e.id)
		return k[:]
	case eventbatch.ColTenant:
		return e.tenant
	case eventbatch.ColFlags:
		if e.assigned {
			return eventbatch.FlagTimeAssigned
		}
		return uint8(0)
	case eventbatch.ColHash:
		return uint64(0)
	case eventbatch.ColID:
		return e.id
	case eventbatch.ColTime:
		return e.time
	case eventbatch.ColOverflow:
		if len(e.overflowed) == 0 {
			return nil
		}
		return strings.Join(e.overflowed, ",")
	case eventbatch.ColSource:
		if e.fields["source"] == nil {
			return "test"
		}
	}
	return e.fields[name]
}

// dimension returns the value under which views count the event in a dimension.
func (e event) dimension(name string) any {
	switch {
	case !slices.Contains(e.overflowed, name):
		return e.column(name)
	case name == "i":
		return int64(catalog.OverflowInt)
	}
	return catalog.Overflow
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.Uint8Builder:
		b.Append(v.(uint8))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	default:
		panic(fmt.Sprintf("no value for %T", b))
	}
}
