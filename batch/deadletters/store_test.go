package deadletters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/object"
	"recount/deploy/embedded/s3server"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)

const partitions = 2

// world is a real object store, the dead letters that have landed in it, and a clock.
type world struct {
	t         *testing.T
	now       time.Time
	store     *lake.Store
	chains    []*record.Chain
	published []position.Offset
	letters   []deadletter.Letter // all that landed, with raw bytes and tenant, in that order
	bodies    map[string][]byte
	opened    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := lake.DefaultConfig("s3://recount/data?endpoint=" + server.Endpoint())
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	store, err := lake.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	w := &world{t: t, now: epoch, store: store, bodies: map[string][]byte{}}
	for p := range partitions {
		w.chains = append(w.chains, record.NewChain(p))
		w.published = append(w.published, position.Offset{})
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
		_, err = w.chains[p].Extend(raw)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// open returns a Store over the world that keeps dead letters for a day.
func (w *world) open(maxBytes int64, reg prometheus.Registerer) *Store {
	w.t.Helper()
	s, err := New(Config{
		Chains: func(context.Context) ([]*record.Chain, error) { return w.chains, nil },
		Open: func(ctx context.Context, o record.Object) (exact.File, error) {
			w.opened++
			return object.Open(ctx, o, bytes.NewReader(w.bodies[o.Key]))
		},
		Records: lake.NewCommitLog(w.store), Objects: w.store,
		Published: func() []position.Offset { return w.published },
		Keep:      24 * time.Hour, MaxBytes: 1 << 30, Now: func() time.Time { return w.now }, Registerer: reg,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.cfg.MaxBytes = maxBytes // may be less than an operator may set
	return s
}

// land lands one message of dead letters in a partition and publishes it. They are received now.
func (w *world) land(p int, letters ...deadletter.Letter) {
	w.t.Helper()
	e := deadletter.EventType()
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	defer b.Release()
	seq := w.chains[p].Head.Seq
	for i := range letters {
		l := &letters[i]
		l.Name = deadletter.Name{Partition: p, Seq: seq, Index: i}.String()
		l.Received = w.now
		raw, err := deadletter.Decode(l.Raw, l.RawBase64)
		if err != nil {
			w.t.Fatal(err)
		}
		digest := deadletter.Digest(l.Code, raw)
		key := eventbatch.TenantID.Key(l.Tenant, l.Source, deadletter.EventID(digest))
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(key[:])
		b.Field(1).(*array.StringBuilder).Append(l.Tenant)
		b.Field(2).(*array.Uint8Builder).Append(eventbatch.FlagTimeAssigned)
		b.Field(3).(*array.Uint64Builder).Append(deadletter.PayloadHash(digest))
		b.Field(4).(*array.StringBuilder).Append(deadletter.EventID(digest))
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(w.now.UnixMicro()))
		b.Field(6).(*array.StringBuilder).Append(l.Source)
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		for k, f := range e.Fields {
			appendField(b.Field(9+k), l, f.Name)
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		w.t.Fatal(err)
	}
	table := object.NewTable(deadletter.Type, p, 1, time.Hour)
	if err := table.Append(position.Offset{Epoch: 1, Seq: seq}, 0, c); err != nil {
		w.t.Fatal(err)
	}
	body, o, err := table.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	o.Key = object.Key(o.Type, w.now, 1, p, seq, seq+1, "a")
	o.Tenants = table.Tenants()
	if err := w.store.Put(w.t.Context(), o.Key, bytes.NewReader(body), o.Size); err != nil {
		w.t.Fatal(err)
	}
	w.bodies[o.Key] = body
	w.commit(p, &record.Commit{Kind: record.Segment, Epoch: 1, Start: seq, End: seq + 1, Events: o.Rows,
		Objects: []record.Object{o}})
	w.published[p] = w.chains[p].Head
	w.letters = append(w.letters, letters...)
}

func appendField(b array.Builder, l *deadletter.Letter, name string) {
	text := map[string]string{deadletter.FieldCode: l.Code, deadletter.FieldMessage: l.Message,
		deadletter.FieldEventID:   l.EventID,
		deadletter.FieldEventTime: l.EventTime, deadletter.FieldEventType: l.EventType}
	optional := map[string]*string{deadletter.FieldRaw: l.Raw, deadletter.FieldRawBase64: l.RawBase64}
	switch b := b.(type) {
	case *array.Int64Builder:
		switch {
		case name == deadletter.FieldBytes:
			b.Append(l.Bytes)
		case l.Index == nil:
			b.AppendNull()
		default:
			b.Append(*l.Index)
		}
	case *array.BooleanBuilder:
		b.Append(name == deadletter.FieldStrict && l.Strict || name == deadletter.FieldTruncated && l.Truncated)
	case *array.StringBuilder:
		switch s, isOptional := optional[name]; {
		case isOptional && s != nil:
			b.Append(*s)
		case isOptional || text[name] == "":
			b.AppendNull()
		default:
			b.Append(text[name])
		}
	}
}

// letterOf returns a dead letter of the bytes. Its other fields follow from them.
func letterOf(tenant, code string, raw []byte) deadletter.Letter {
	index := int64(len(raw) % 7)
	l := deadletter.Letter{Tenant: tenant, Code: code, Message: "because of " + code, EventType: "t" + code,
		Source: "s", EventID: fmt.Sprintf("%x", raw),
		Index: &index, Bytes: int64(len(raw)), Strict: len(raw)%2 == 0}
	text, encoded := deadletter.Encode(raw)
	for to, b := range map[**string][]byte{&l.Raw: text, &l.RawBase64: encoded} {
		if b != nil {
			s := string(b)
			*to = &s
		}
	}
	if len(raw)%5 == 0 {
		l.Index = nil
		l.EventID = ""
	}
	return l
}

// random lands dead letters of two tenants over some hours.
func (w *world) random(r *rand.Rand) {
	for range 8 {
		for p := range partitions {
			var letters []deadletter.Letter
			for range 1 + r.IntN(8) {
				raw := make([]byte, r.IntN(20))
				for i := range raw {
					raw[i] = byte(r.IntN(256)) >> r.IntN(2)
				}
				letters = append(letters,
					letterOf([]string{"acme", "b"}[r.IntN(2)], []string{"x", "y"}[r.IntN(2)], raw))
			}
			w.land(p, letters...)
		}
		w.now = w.now.Add(time.Duration(r.IntN(50)) * time.Minute)
	}
}

// wanted is the naive list: every dead letter that matches the filter, sorted.
func (w *world) wanted(tenant string, f deadletter.Filter) (out []deadletter.Letter) {
	for _, l := range w.letters {
		if l.Tenant == tenant && (f.Code == "" || l.Code == f.Code) && (f.Type == "" || l.EventType == f.Type) &&
			!l.Received.Before(f.From) && (f.To.IsZero() || l.Received.Before(f.To)) {
			out = append(out, l)
		}
	}
	key := func(l deadletter.Letter) string {
		n, _ := deadletter.ParseName(l.Name)
		return fmt.Sprintf("%020d %03d %020d %05d", l.Received.UnixMicro(), n.Partition, n.Seq, n.Index)
	}
	slices.SortFunc(out, func(a, b deadletter.Letter) int { return strings.Compare(key(b), key(a)) })
	return out
}

// TestListIsThatOfTheOracle pages through random dead letters with every filter and compares them with
// the naive list. Then it gets each by its name.
func TestListIsThatOfTheOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	w.random(r)
	s := w.open(1<<30, nil)
	for _, f := range []deadletter.Filter{
		{}, {Code: "x"}, {Type: "ty"}, {Code: "x", Type: "ty"}, {From: epoch.Add(2 * time.Hour)},
		{To: epoch.Add(2 * time.Hour)},
		{From: epoch.Add(90 * time.Minute), To: epoch.Add(4 * time.Hour), Code: "y"}, {To: epoch},
	} {
		for _, f.Limit = range []int{5, 1000} {
			for _, tenant := range []string{"acme", "b", "nobody"} {
				want := w.wanted(tenant, f)
				var got []deadletter.Letter
				for f.Cursor = ""; ; {
					page, err := s.List(t.Context(), tenant, f, true)
					if err != nil || len(page.Letters) > f.Limit || len(got) > len(want) {
						t.Fatalf("%+v: a page of %d dead letters, %d so far, want %d in total: %v", f,
							len(page.Letters), len(got), len(want), err)
					}
					got = append(got, page.Letters...)
					if f.Cursor = page.Cursor; f.Cursor == "" {
						break
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s, %+v: %s", tenant, f, diff)
				}
			}
		}
	}
	for _, want := range w.letters {
		if got, err := s.Get(t.Context(), want.Tenant, want.Name); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%s: %v %s", want.Name, err, cmp.Diff(want, got))
		}
		if _, err := s.Get(t.Context(), "nobody", want.Name); !errors.Is(err, deadletter.ErrUnknown) {
			t.Fatalf("%s asked for by another tenant: got %v, want ErrUnknown", want.Name, err)
		}
	}
	for _, name := range []string{"0-99-0", "7-1-0", "0-1-99", "0-0-0"} {
		if _, err := s.Get(t.Context(), "acme", name); !errors.Is(err, deadletter.ErrUnknown) {
			t.Errorf("%s: got %v, want ErrUnknown", name, err)
		}
	}
	var problem *query.Error
	_, err := s.List(t.Context(), "acme", deadletter.Filter{Cursor: "yesterday"}, false)
	if !errors.As(err, &problem) || problem.Field != "cursor" {
		t.Errorf("a bad cursor: got %v, want an error about the field cursor", err)
	}
	w.opened = 0
	if _, err := s.List(t.Context(), "acme", deadletter.Filter{Limit: 1}, false); err != nil || w.opened > 6 {
		t.Errorf("a page of one dead letter opened %d objects, want at most 6: %v", w.opened, err)
	}
}

// keys returns the keys in the store under a prefix.
func (w *world) keys(prefix string) (out []string) {
	w.t.Helper()
	for info, err := range w.store.List(w.t.Context(), prefix, "") {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, info.Key)
	}
	return out
}

func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func (w *world) retire(s *Store, want int64) {
	w.t.Helper()
	if got, err := s.Retire(w.t.Context()); err != nil || got != want {
		w.t.Errorf("retired %d dead letters, %v; want %d", got, err, want)
	}
}

// TestRetireByAge retires an object that landed longer ago than Keep: a record says so first, then it is
// gone from the list and the store. An object stays while it is unpublished or its bucket is open.
func TestRetireByAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	s := w.open(1<<30, reg)
	var retiring [][2]int // objects and records, when it is called
	s.cfg.Retiring = func(context.Context) {
		retiring = append(retiring, [2]int{len(w.keys("data/")), len(w.keys("retired/"))})
	}
	w.retire(s, 0)
	a := letterOf("acme", "x", []byte("a"))
	b := letterOf("acme", "x", []byte("bb"))
	w.land(0, a, b)
	w.now = w.now.Add(20 * time.Hour)
	w.land(1, a)
	w.now = w.now.Add(4 * time.Hour)
	w.retire(s, 0) // It is as old as Keep, but not older.
	w.now = w.now.Add(time.Second)
	published := w.published[0]
	w.published[0] = position.Offset{}
	w.retire(s, 0)
	w.published[0] = published
	w.retire(s, 2)
	objects := w.keys("data/")
	records := w.keys("retired/")
	if len(objects) != 1 || len(records) != 1 {
		t.Errorf("left are objects %v and records %v, want one of each", objects, records)
	}
	page, err := s.List(t.Context(), "acme", deadletter.Filter{}, true)
	if err != nil || len(page.Letters) != 1 || page.Letters[0].Name != "1-1-0" {
		t.Errorf("listed %+v, %v; want 1-1-0 alone", page, err)
	}
	if _, err := s.Get(t.Context(), "acme", "0-1-0"); !errors.Is(err, deadletter.ErrExpired) {
		t.Errorf("a retired dead letter: got %v, want ErrExpired", err)
	}
	if _, err := s.Get(t.Context(), "b", "0-1-0"); !errors.Is(err, deadletter.ErrUnknown) {
		t.Errorf("a retired dead letter of another tenant: got %v, want ErrUnknown", err)
	}
	stored := metric(t, reg, "recount_dead_letters_stored")
	gone := metric(t, reg, "recount_dead_letters_retired_total")
	if stored != 1 || gone != 2 {
		t.Errorf("metrics: %v stored, %v retired; want 1 and 2", stored, gone)
	}
	w.now = w.now.Add(24 * time.Hour)
	w.retire(s, 1)
	w.retire(s, 0)
	objects = w.keys("data/")
	records = w.keys("retired/")
	if len(objects) != 0 || len(records) != 1 {
		t.Errorf("left are objects %v and records %v, want no object and one record", objects, records)
	}
	if want := [][2]int{{2, 1}, {1, 2}}; !slices.Equal(retiring, want) {
		t.Errorf("before deletions there were %v objects and records, want %v", retiring, want)
	}
}

// TestRetireForRoom retires the oldest objects beyond MaxBytes, but none of a bucket that still gets rows.
func TestRetireForRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 6 {
		w.land(i%2, letterOf("acme", "x", []byte{byte(i)}))
		w.now = w.now.Add(time.Hour)
	}
	size := w.chains[0].Segments[0].Objects[0].Size
	w.retire(w.open(3*size+size/2, nil), 3)
	w.retire(w.open(size/2, nil), 2) // The sixth is in the hour before this one, so its bucket is open.
	if left := w.keys("data/"); len(left) != 1 {
		t.Errorf("left are %v, want one object", left)
	}
}

// TestCrashAfterTheRecord: a run created its record and died. The next run deletes the objects, and no
// list shows them until then.
func TestCrashAfterTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.land(0, letterOf("acme", "x", []byte("a")))
	w.now = w.now.Add(30 * time.Hour)
	s := w.open(1<<30, nil)
	if err := s.createHorizon(t.Context(), w.now.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if page, err := s.List(t.Context(), "acme", deadletter.Filter{}, true); err != nil || len(page.Letters) != 0 ||
		len(w.keys("data/")) != 1 {
		t.Errorf("listed %+v, %v; want nothing, and the object still in the store", page, err)
	}
	w.retire(s, 0)
	if left := w.keys("data/"); len(left) != 0 {
		t.Errorf("left are %v, want no object", left)
	}
}
