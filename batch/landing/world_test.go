package landing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

func TestMain(m *testing.M) {
	go encodes()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("recount/batch/landing.encodes"))
}

// The zstd encoders that lake keeps hold channels, which must not wander between the
// bubbles of synctest. The simulation therefore encodes in a goroutine outside all of them.
var (
	encodeMu sync.Mutex
	toEncode = make(chan *lake.Table)
	encoded  = make(chan parquetObject)
)

type parquetObject struct {
	body []byte
	o    record.Object
	err  error
}

func encodes() {
	for t := range toEncode {
		var r parquetObject
		r.body, r.o, r.err = t.WriteParquet()
		encoded <- r
	}
}

func encodeOutside(t *lake.Table) ([]byte, record.Object, error) {
	encodeMu.Lock()
	defer encodeMu.Unlock()
	toEncode <- t
	r := <-encoded
	return r.body, r.o, r.err
}

// newLander returns a lander whose encoding runs outside the bubble.
func newLander(t testing.TB, cfg Config, n *node, chains ...*record.Chain) *Lander {
	l, err := New(cfg, chains, n, n, store{n})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.partitions {
		p.encode = encodeOutside
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
	mu      sync.Mutex
	logs    [2]partitionLog
	records map[string][]byte
	objects map[string][]byte

	overwrites bool // a fault of the store: records are not create-only
	rots       bool // a fault of the store: stored objects change after they were verified
}

// partitionLog is one partition of the log. Its first message is 1; trim forgets, frames do not.
type partitionLog struct {
	frames  [][]byte
	trimmed uint64 // messages below are gone
	gap     uint64 // a message that is gone with those around it left
	changed chan struct{}
	ids     map[[2]uint64]string // what was acknowledged: (sequence, index) to id
}

func newWorld() *world {
	w := &world{records: map[string][]byte{}, objects: map[string][]byte{}}
	for p := range w.logs {
		w.logs[p] = partitionLog{changed: make(chan struct{}), ids: map[[2]uint64]string{}, trimmed: 1}
	}
	return w
}

// append appends a message to a partition.
func (w *world) append(p int, frame []byte, ids ...string) uint64 {
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
	return seq
}

// produce appends a message of n events.
func (w *world) produce(t testing.TB, p int, e *catalog.EventType, n int, at time.Time) {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%d-%d-%d", p, w.next(p), i))
	}
	frame, err := eventbatch.Append(nil, e.Name, time.Now().UnixMicro(), events(e, at, ids...))
	if err != nil {
		t.Fatal(err)
	}
	w.append(p, frame, ids...)
}

func (w *world) next(p int) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.logs[p].frames)) + 1
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
		return eventbatch.Message{}, nil, fmt.Errorf("%w: the first is %d", ErrTrimmed, l.trimmed)
	case seq > uint64(len(l.frames))+1 || seq == l.gap:
		return eventbatch.Message{}, nil, fmt.Errorf("%w: want %d", ErrGap, seq)
	case seq > uint64(len(l.frames)):
		return eventbatch.Message{}, l.changed, nil
	}
	return eventbatch.Message{Seq: seq, Frame: slices.Clone(l.frames[seq-1])}, nil, nil
}

// Create, Get and List are a commit log without faults.
func (w *world) Create(_ context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there, ok := w.records[key]
	if ok && !bytes.Equal(there, body) && !w.overwrites {
		return record.Exists, there, nil
	}
	w.records[key] = body
	return record.Created, nil, nil
}

func (w *world) Get(_ context.Context, key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if raw, ok := w.records[key]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("get %s: %w", key, lake.ErrNotFound)
}

func (w *world) List(_ context.Context, prefix string) (keys []string, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.records {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func (w *world) put(key string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[key] = body
}

func (w *world) object(key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, ok := w.objects[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, lake.ErrNotFound)
	}
	if w.rots {
		w.objects[key] = raw[:len(raw)-1]
	}
	return raw, nil
}

// node is one process as the world sees it: its own network, and its end.
type node struct {
	w    *world
	kill context.CancelFunc
	bad  int // one in bad operations goes wrong; 0 for none

	mu     sync.Mutex
	rng    *rand.Rand
	ops    int
	killAt int // the operation in which the process ends; 0 for never
	late   sync.WaitGroup
}

func newNode(w *world, seed, id uint64, bad int) *node {
	return &node{w: w, bad: bad, rng: rand.New(rand.NewPCG(seed, id)), kill: func() {}}
}

// fate is what becomes of one operation.
type fate int

const (
	fine     fate = iota
	unsent        // fails without effect
	unheard       // has its effect, the reply is lost
	delayed       // fails, and has its effect later
	mangled       // has another effect than was wanted
	fatalish      // number of fates
)

// op decides an operation's fate after some time on the network.
func (n *node) op(ctx context.Context) fate {
	n.mu.Lock()
	n.ops++
	f, wait := fine, time.Duration(n.rng.Int64N(int64(20*time.Millisecond)))
	if n.bad > 0 && n.rng.IntN(n.bad) == 0 {
		f = fate(n.rng.IntN(int(fatalish)))
	}
	if n.ops == n.killAt {
		f = fate(n.rng.IntN(int(mangled)))
		n.kill()
	}
	n.mu.Unlock()
	if ctx.Err() != nil {
		return unsent
	}
	time.Sleep(wait)
	return f
}

// do runs an operation with an effect under its fate.
func (n *node) do(ctx context.Context, effect func()) error {
	switch n.op(ctx) {
	case unsent:
		return errLost
	case unheard, mangled:
		effect()
		return errLost
	case delayed:
		wait := time.Duration(1+len(n.w.records)%7) * 300 * time.Millisecond
		n.late.Go(func() { time.Sleep(wait); effect() })
		return errLost
	}
	effect()
	return nil
}

// Create implements CommitLog.
func (n *node) Create(ctx context.Context, key string, body []byte) (o record.Outcome, there []byte, err error) {
	var mu sync.Mutex // A delayed effect has nobody to tell.
	if err := n.do(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		o, there, err = n.w.Create(ctx, key, body)
	}); err != nil {
		return record.Unknown, nil, err
	}
	return o, there, err
}

// Get implements CommitLog.
func (n *node) Get(ctx context.Context, key string) ([]byte, error) {
	if n.op(ctx) != fine {
		return nil, errLost
	}
	return n.w.Get(ctx, key)
}

// List implements CommitLog.
func (n *node) List(ctx context.Context, prefix string) ([]string, error) {
	if n.op(ctx) != fine {
		return nil, errLost
	}
	return n.w.List(ctx, prefix)
}

// Read implements Source.
func (n *node) Read(ctx context.Context, p int, from uint64) (Reader, error) {
	if n.op(ctx) != fine {
		return nil, errLost
	}
	if _, _, err := n.w.read(p, from); err != nil {
		return nil, err
	}
	return &reader{n: n, p: p, next: from}, nil
}

// Heartbeat implements Source.
func (n *node) Heartbeat(ctx context.Context, p int) error {
	return n.do(ctx, func() { n.w.append(p, eventbatch.AppendHeartbeat(nil, time.Now().UnixMicro())) })
}

type reader struct {
	n    *node
	p    int
	next uint64
}

func (r *reader) Next(ctx context.Context) (eventbatch.Message, error) {
	if r.n.op(ctx) != fine {
		return eventbatch.Message{}, cmpErr(ctx.Err(), errLost)
	}
	for {
		m, wait, err := r.n.w.read(r.p, r.next)
		if err != nil {
			return m, err
		}
		if wait == nil {
			r.next++
			return m, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}

func cmpErr(first, other error) error {
	if first != nil {
		return first
	}
	return other
}

func (r *reader) Close() {}

// store is the object store as a node sees it.
type store struct{ *node }

// Put implements Objects.
func (s store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	switch s.op(ctx) {
	case unsent, delayed:
		return errLost
	case unheard:
		s.w.put(key, raw)
		return errLost
	case mangled: // stored with a flipped bit, and reported as stored
		raw[size/2] ^= 1
	}
	s.w.put(key, raw)
	return nil
}

// Get implements Objects.
func (s store) Get(ctx context.Context, key string) ([]byte, error) {
	if s.op(ctx) != fine {
		return nil, errLost
	}
	return s.w.object(key)
}

// The event types of the tests. The third changes its field's type after a while.
var (
	clicked  = &catalog.EventType{Name: "clicked", Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}}}
	clicked2 = &catalog.EventType{Name: "clicked", Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}, {Name: "s", Type: catalog.String}}}
	viewed   = &catalog.EventType{Name: "viewed", Fields: []catalog.Field{{Name: "n", Type: catalog.Int64}}}
	viewed2  = &catalog.EventType{Name: "viewed", Fields: []catalog.Field{{Name: "n", Type: catalog.String}}}
)

// events returns a record of one event for each id, their times going down from at.
func events(e *catalog.EventType, at time.Time, ids ...string) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	defer b.Release()
	for i, id := range ids {
		k := eventbatch.KeyOf(eventbatch.DefaultTenant, id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(eventbatch.DefaultTenant)
		b.Field(2).(*array.Uint8Builder).Append(0)
		b.Field(3).(*array.Uint64Builder).Append(uint64(i))
		b.Field(4).(*array.StringBuilder).Append(id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(at.Add(-time.Duration(i) * 20 * time.Minute).UnixMicro()))
		b.Field(6).(*array.StringBuilder).Append("test")
		for f := 7; f < len(b.Fields()); f++ {
			b.Field(f).AppendNull()
		}
	}
	return b.NewRecord()
}
