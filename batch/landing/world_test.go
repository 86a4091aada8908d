package landing

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

func TestMain(m *testing.M) {
	go encodeTables()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("recount/batch/landing.encodeTables"))
}

// The zstd encoders that parquet-go keeps hold channels, and a channel must not move between the
// bubbles of synctest. So the simulation encodes in a goroutine outside all bubbles.
var (
	encodeMu sync.Mutex
	toEncode = make(chan *object.Table)
	encoded  = make(chan parquetObject)
)

type parquetObject struct {
	body []byte
	o    record.Object
	err  error
}

// encodeTables encodes the tables that encodeOutside sends.
func encodeTables() {
	for t := range toEncode {
		var r parquetObject
		r.body, r.o, r.err = t.Encode()
		encoded <- r
	}
}

// encodeOutside is object.Table.Encode in the goroutine outside all bubbles.
func encodeOutside(t *object.Table) ([]byte, record.Object, error) {
	encodeMu.Lock()
	defer encodeMu.Unlock()
	toEncode <- t
	r := <-encoded
	return r.body, r.o, r.err
}

// newLander returns a lander that encodes outside the bubble.
func newLander(t testing.TB, cfg Config, n *node, chains ...*record.Chain) *Lander {
	cfg.Encode = encodeOutside
	l, err := New(cfg, chains, n, n, store{n})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var (
	errLost  = errors.New("connection lost")
	testRule = position.CutRule{Interval: time.Second, Rows: 40, Bytes: 1 << 20}
	testNext = record.Next{Epoch: 1, Rule: testRule, Bucket: time.Hour, Partitions: 2}
)

// world is the log, the commit log and the object store, which outlive every lander.
type world struct {
	recordtest.Memory

	mu      sync.Mutex
	logs    [2]partitionLog
	objects map[string][]byte

	kills int
	beats int
	skew  time.Duration // how far the clock of heartbeats lags
	rots  bool          // stored objects change after they were verified
}

// partitionLog is one partition of the log. Its first sequence is 1. Trimmed frames are kept, but
// they cannot be read.
type partitionLog struct {
	frames  [][]byte
	trimmed uint64               // messages below it cannot be read
	gap     uint64               // a message that cannot be read although its neighbours can; 0 means none
	changed chan struct{}        // closed when a message is appended
	ids     map[[2]uint64]string // ids of the acknowledged events by (sequence, index)
}

func newWorld() *world {
	w := &world{objects: map[string][]byte{}}
	for p := range w.logs {
		w.logs[p] = partitionLog{changed: make(chan struct{}), ids: map[[2]uint64]string{}, trimmed: 1}
	}
	return w
}

// append appends a message with the events of the ids to a partition.
func (w *world) append(p int, frame []byte, ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.logs[p]
	l.frames = append(l.frames, frame)
	seq := uint64(len(l.frames))
	for i, id := range ids {
		l.ids[[2]uint64{seq, uint64(i)}] = id
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// produce appends a message of n events.
func (w *world) produce(t testing.TB, p int, e *catalog.EventType, n int, at time.Time) {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%d-%d-%d", p, w.nextSeq(p), i))
	}
	frame, err := eventbatch.Append(nil, e.Name, 0, time.Now().UnixMicro(), events(e, at, ids...))
	if err != nil {
		t.Fatal(err)
	}
	w.append(p, frame, ids...)
}

// nextSeq returns the sequence of the next message.
func (w *world) nextSeq(p int) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.logs[p].frames)) + 1
}

// count increments a counter of the world.
func (w *world) count(counter *int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*counter++
}

func (w *world) trim(p int, below uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[p].trimmed = max(w.logs[p].trimmed, below)
}

// read returns the message, or a channel that closes when there may be one.
func (w *world) read(p int, seq uint64) (eventbatch.Message, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.logs[p]
	switch {
	case seq < l.trimmed:
		return eventbatch.Message{}, nil, fmt.Errorf("%w: the first is %d", position.ErrTrimmed, l.trimmed)
	case seq > uint64(len(l.frames))+1 || seq == l.gap:
		return eventbatch.Message{}, nil, fmt.Errorf("%w: want %d", position.ErrGap, seq)
	case seq > uint64(len(l.frames)):
		return eventbatch.Message{}, l.changed, nil
	}
	return eventbatch.Message{Seq: seq, Frame: slices.Clone(l.frames[seq-1])}, nil, nil
}

func (w *world) storeObject(key string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[key] = body
}

func (w *world) object(key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, ok := w.objects[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, record.ErrNotFound)
	}
	if w.rots {
		w.objects[key] = raw[:len(raw)-1]
	}
	return raw, nil
}

// The event types of the tests. clicked gains a field, and the field of viewed changes its type.
var (
	clicked  = &catalog.EventType{Name: "clicked", Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}}}
	clicked2 = &catalog.EventType{Name: "clicked",
		Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}, {Name: "s", Type: catalog.String}}}
	viewed  = &catalog.EventType{Name: "viewed", Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}}}
	viewed2 = &catalog.EventType{Name: "viewed", Fields: []catalog.Field{{Name: "n", Type: catalog.String}}}
)

// events returns an Arrow record of one event for each id. Their times go back from at in steps of 20 minutes.
func events(e *catalog.EventType, at time.Time, ids ...string) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	defer b.Release()
	for i, id := range ids {
		k := eventbatch.TenantID.Key(eventbatch.DefaultTenant, "", id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(eventbatch.DefaultTenant)
		b.Field(2).(*array.Uint8Builder).Append(0)
		b.Field(3).(*array.Uint64Builder).Append(uint64(i))
		b.Field(4).(*array.StringBuilder).Append(id)
		eventTime := at.Add(-time.Duration(i) * 20 * time.Minute)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(eventTime.UnixMicro()))
		b.Field(6).(*array.StringBuilder).Append("test")
		for f := 7; f < len(b.Fields()); f++ {
			b.Field(f).AppendNull()
		}
	}
	return b.NewRecord()
}
