package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/object"
	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

const hour = int64(3_600_000_000)

var epoch = time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC)

// event is a row of the lake. A nil field is null.
type event struct {
	id, tenant string
	time       int64
	assigned   bool
	hash       uint64
	origin     *string
	delay      *int64
	fare       *float64
	ok         *bool
	closed     *int64
	over       *string // fields whose value ingest found too many, with commas between them
}

func flightType() *catalog.EventType {
	return &catalog.EventType{Name: "flight", Fields: []catalog.Field{
		{Name: "closed", Type: catalog.Timestamp}, {Name: "delay", Type: catalog.Int64},
		{Name: "fare", Type: catalog.Float64},
		{Name: "ok", Type: catalog.Bool}, {Name: "origin", Type: catalog.String}}}
}

func wideView() *catalog.View {
	return &catalog.View{Name: "wide", Event: "flight", Dimensions: []string{"origin", "ok", "delay"},
		Cell: time.Minute, Measures: []catalog.Measure{
			{Name: "n", Kind: catalog.Count}, {Name: "total", Kind: catalog.Sum, Field: "delay"},
			{Name: "paid", Kind: catalog.Sum, Field: "fare"},
			{Name: "mean", Kind: catalog.Avg, Field: "fare"}, {Name: "least", Kind: catalog.Min, Field: "delay"},
			{Name: "most", Kind: catalog.Max, Field: "fare"},
			{Name: "last", Kind: catalog.Max, Field: "closed"},
			{Name: "origins", Kind: catalog.Distinct, Field: "origin"},
			{Name: "fares", Kind: catalog.Distinct, Field: "fare"}}}
}

func slimView() *catalog.View {
	return &catalog.View{Name: "slim", Event: "flight", Cell: time.Hour,
		Where: []catalog.Filter{{Field: "delay", Op: catalog.Ge, Values: []any{int64(0)}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "origins", Kind: catalog.Distinct, Field: "origin"}}}
}

func catalogOf(views ...*catalog.View) *catalog.Catalog {
	c := &catalog.Catalog{Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"flight": flightType(), "bare": {Name: "bare"}},
		Views:  map[string]*catalog.View{}}
	for _, v := range views {
		c.Views[v.Name] = v
	}
	return c
}

// world is a lake with its chains and records in memory, and a real, empty ClickHouse database.
type world struct {
	limit    int   // Config.Limit of the publishers
	stepRows int64 // Config.StepRows of the publishers
	t        testing.TB
	db       driver.Conn
	now      time.Time
	mu       sync.Mutex
	records  recordtest.Memory
	objects  map[string][]byte
	age      map[string]time.Time
	chains   []*record.Chain
	seq      []uint64
	landed   [][]event // events by partition, in position order
}

const partitions = 2

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, db: db, now: epoch, objects: map[string][]byte{}, age: map[string]time.Time{}}
	w.records.Bodies = map[string][]byte{}
	for p := range partitions {
		w.chains = append(w.chains, record.NewChain(p))
		w.seq = append(w.seq, 1)
		w.landed = append(w.landed, nil)
		w.commit(p, &record.Commit{Kind: record.Seal, Start: 1, End: 1,
			Next: &record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: partitions}})
	}
	return w
}

func (w *world) commit(p int, c *record.Commit) {
	w.t.Helper()
	c.Partition = p
	c.Created = w.now
	c.Attempt = "a"
	c.Previous = w.chains[p].Tip
	raw, err := c.Encode()
	if err == nil {
		_, _, err = w.records.Create(w.t.Context(), w.chains[p].NextKey(), raw)
	}
	if err == nil {
		_, err = w.chains[p].Extend(raw)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// land commits one segment for each partition that has events of the type.
func (w *world) land(eventType string, events ...event) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	byPartition := make([][]event, partitions)
	for _, e := range events {
		p := eventbatch.TenantID.Key(e.tenant, "", e.id).Partition(partitions)
		byPartition[p] = append(byPartition[p], e)
	}
	for p, list := range byPartition {
		if len(list) == 0 {
			continue
		}
		o := w.object(eventType, p, list)
		o.Tenants = map[string]int64{}
		for _, e := range list {
			o.Tenants[e.tenant]++
		}
		w.commit(p, &record.Commit{Kind: record.Segment, Epoch: 1, Start: w.seq[p], End: w.seq[p] + 1, Events: o.Rows,
			Objects: []record.Object{o}})
		w.seq[p]++
		if eventType == "flight" {
			w.landed[p] = append(w.landed[p], list...)
		}
	}
}

func (w *world) object(eventType string, p int, events []event) record.Object {
	w.t.Helper()
	table := object.NewTable(eventType, p, 1, time.Hour)
	if err := table.Append(position.Offset{Epoch: 1, Seq: w.seq[p]}, 0, columnsOf(events)); err != nil {
		w.t.Fatal(err)
	}
	body, o, err := table.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	o.Key = fmt.Sprintf("data/%s/p%d-%d.parquet", eventType, p, w.seq[p])
	w.objects[o.Key] = body
	w.age[o.Key] = w.now
	return o
}

func columnsOf(events []event) eventbatch.Columns {
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.OverflowSchema(eventbatch.Schema(flightType())))
	defer b.Release()
	for _, e := range events {
		k := eventbatch.TenantID.Key(e.tenant, "", e.id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(e.tenant)
		flags := uint8(0)
		if e.assigned {
			flags = eventbatch.FlagTimeAssigned
		}
		b.Field(2).(*array.Uint8Builder).Append(flags)
		b.Field(3).(*array.Uint64Builder).Append(e.hash)
		b.Field(4).(*array.StringBuilder).Append(e.id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(e.time))
		b.Field(6).(*array.StringBuilder).Append("test")
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		appendNullable(b.Field(9), e.closed, func(v int64) {
			b.Field(9).(*array.TimestampBuilder).Append(arrow.Timestamp(v))
		})
		appendNullable(b.Field(10), e.delay, b.Field(10).(*array.Int64Builder).Append)
		appendNullable(b.Field(11), e.fare, b.Field(11).(*array.Float64Builder).Append)
		appendNullable(b.Field(12), e.ok, b.Field(12).(*array.BooleanBuilder).Append)
		appendNullable(b.Field(13), e.origin, b.Field(13).(*array.StringBuilder).Append)
		appendNullable(b.Field(14), e.over, b.Field(14).(*array.StringBuilder).Append)
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		panic(err)
	}
	return c
}

func appendNullable[T any](b array.Builder, v *T, add func(T)) {
	if v == nil {
		b.AppendNull()
		return
	}
	add(*v)
}

// publisher returns a started publisher over the world. f ends it at one operation; nil does not.
func (w *world) publisher(c *catalog.Catalog, f *faults) *Publisher {
	w.t.Helper()
	p := w.unstarted(c, f)
	if err := p.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) unstarted(c *catalog.Catalog, f *faults) *Publisher {
	w.t.Helper()
	cfg := DefaultConfig(c, partitions)
	cfg.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	cfg.Code = "test"
	cfg.LongestQuery = 5 * time.Minute
	cfg.Workers = 2
	cfg.Memory = 64 << 20
	cfg.Limit = w.limit
	cfg.StepRows = w.stepRows
	p, err := New(cfg, records{w, f}, objects{w, f}, cells.NewStore(conn{w.db, f}, c), w.readChains, w.open)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

func (w *world) readChains(context.Context) ([]*record.Chain, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*record.Chain
	for _, c := range w.chains {
		copied := *c
		copied.Segments = slices.Clone(c.Segments)
		out = append(out, &copied)
	}
	return out, nil
}

func (w *world) open(ctx context.Context, o record.Object) (exact.File, error) {
	w.mu.Lock()
	body, ok := w.objects[o.Key]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("open %s: %w", o.Key, record.ErrNotFound)
	}
	if err := object.Verify(ctx, o, bytes.NewReader(body)); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Key, err)
	}
	return object.Open(ctx, o, bytes.NewReader(body))
}

// faults ends a process at one operation: before it happens, or after it, so that the reply is lost.
// Every later operation fails too, as in a process that died.
type faults struct {
	mu    sync.Mutex
	at    int    // the operation, counted from 0
	on    string // if at is negative, the first operation whose name begins with this
	after bool   // the operation happens and its reply is lost
	steps int    // operations so far
	what  string // the operation at which the process died
}

// arm makes the process die at operation at, counted from now on.
func (f *faults) arm(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
	f.steps = 0
}

var errDied = errors.New("the process died")

func (f *faults) perform(what string, op func() error) error {
	if f == nil {
		return op()
	}
	f.mu.Lock()
	step := f.steps
	f.steps++
	if f.at < 0 && f.on != "" && strings.HasPrefix(what, f.on) {
		f.at = step
	}
	at := f.at
	if step == at {
		f.what = what
	}
	f.mu.Unlock()
	if at < 0 {
		return op()
	}
	if step > at || step == at && !f.after {
		return fmt.Errorf("%s: %w", what, errDied)
	}
	if err := op(); err != nil || step < at {
		return err
	}
	return fmt.Errorf("%s: %w", what, errDied)
}

type records struct {
	w *world
	f *faults
}

func (r records) Create(ctx context.Context, key string, body []byte) (o record.Outcome, there []byte, err error) {
	err = r.f.perform("create "+key, func() (err error) {
		o, there, err = r.w.records.Create(ctx, key, body)
		return err
	})
	if err != nil {
		return record.Unknown, nil, err
	}
	return o, there, nil
}

func (r records) Get(ctx context.Context, key string) (raw []byte, err error) {
	err = r.f.perform("get "+key, func() (err error) {
		raw, err = r.w.records.Get(ctx, key)
		return err
	})
	return raw, err
}

func (r records) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = r.f.perform("list "+prefix, func() (err error) {
		keys, err = r.w.records.List(ctx, prefix)
		return err
	})
	return keys, err
}

type objects struct {
	w *world
	f *faults
}

func (o objects) Head(_ context.Context, key string) (info lake.Info, err error) {
	err = o.f.perform("head "+key, func() error {
		o.w.mu.Lock()
		defer o.w.mu.Unlock()
		body, ok := o.w.objects[key]
		if !ok {
			return fmt.Errorf("head %s: %w", key, record.ErrNotFound)
		}
		info = lake.Info{Key: key, Size: int64(len(body)), Modified: o.w.age[key]}
		return nil
	})
	return info, err
}

func (o objects) List(ctx context.Context, _, _ string) iter.Seq2[lake.Info, error] {
	o.w.mu.Lock()
	keys := slices.Sorted(maps.Keys(o.w.objects))
	o.w.mu.Unlock()
	return func(yield func(lake.Info, error) bool) {
		for _, k := range keys {
			if info, err := o.Head(ctx, k); !yield(info, err) {
				return
			}
		}
	}
}

func (o objects) Delete(ctx context.Context, keys ...string) error {
	return o.f.perform("delete", func() error {
		o.w.mu.Lock()
		defer o.w.mu.Unlock()
		for _, k := range keys {
			delete(o.w.objects, k)
			delete(o.w.records.Bodies, k)
		}
		return o.w.records.Delete(ctx, keys...)
	})
}

// conn is the real connection with faults.
type conn struct {
	driver.Conn
	f *faults
}

func (c conn) Exec(ctx context.Context, q string, args ...any) error {
	return c.f.perform(q, func() error { return c.Conn.Exec(ctx, q, args...) })
}

func (c conn) Query(ctx context.Context, q string, args ...any) (rows driver.Rows, err error) {
	err = c.f.perform(q, func() error {
		rows, err = c.Conn.Query(ctx, q, args...)
		return err
	})
	if err != nil && rows != nil {
		_ = rows.Close()
	}
	return rows, err
}

func (c conn) QueryRow(ctx context.Context, q string, args ...any) driver.Row {
	var row driver.Row
	if err := c.f.perform(q, func() error {
		row = c.Conn.QueryRow(ctx, q, args...)
		return nil
	}); err != nil {
		return failedRow{err}
	}
	return row
}

type failedRow struct{ err error }

func (r failedRow) Err() error           { return r.err }
func (r failedRow) Scan(...any) error    { return r.err }
func (r failedRow) ScanStruct(any) error { return r.err }

func (c conn) PrepareBatch(ctx context.Context, q string, o ...driver.PrepareBatchOption) (b driver.Batch, err error) {
	err = c.f.perform(q, func() error {
		b, err = c.Conn.PrepareBatch(ctx, q, o...)
		return err
	})
	if err != nil {
		if b != nil {
			_ = b.Close()
		}
		return nil, err
	}
	return batch{b, c.f}, nil
}

func (c conn) InsertFormat(ctx context.Context, format, q string, data io.Reader) error {
	return c.f.perform("send", func() error { return c.Conn.InsertFormat(ctx, format, q, data) })
}

type batch struct {
	driver.Batch
	f *faults
}

func (b batch) Send() error { return b.f.perform("send", b.Batch.Send) }
