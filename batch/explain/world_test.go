package explain

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/batch/exact"
	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
	"recount/schemas/window"
)

const (
	partitions = 3
	limit      = 2 // values of a dimension
)

var (
	start  = time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	landed = time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC)
)

// sent is an accepted event with its place.
type sent struct {
	eventType, tenant, source, id string
	time                          int64
	assigned                      bool
	hash                          uint64
	page                          string
	status                        *int64
	position                      openapi.Position
	landed, published             bool
	object                        string
}

// world is a lake, a log and a publication in memory, and what was sent into them.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	events  []*sent
	objects map[string][]byte
	records recordtest.Memory
	chains  []*record.Chain
	log     map[int][]eventbatch.Message
	first   map[int]uint64 // first message that each partition's log has
	state   *record.State
	letters []deadletter.Letter // that have landed
}

func testCatalog() *catalog.Catalog {
	count := []catalog.Measure{{Name: "n", Kind: catalog.Count}}
	return &catalog.Catalog{Bucket: time.Hour,
		Events: map[string]*catalog.EventType{
			"hit": {Name: "hit", Fields: []catalog.Field{{Name: "page", Type: catalog.String},
				{Name: "status", Type: catalog.Int64}}},
			"plain": {Name: "plain"}, deadletter.Type: deadletter.EventType()},
		Views: map[string]*catalog.View{
			"pages": {Name: "pages", Event: "hit", Dimensions: []string{"page"}, Cell: time.Minute, Measures: count},
			"errors": {Name: "errors", Event: "hit", Dimensions: []string{"status", "source"}, Cell: time.Hour,
				Measures: count, Where: []catalog.Filter{{Field: "status", Op: catalog.Ge, Values: []any{int64(2)}},
					{Field: "page", Op: catalog.Ne, Values: []any{"/a"}}}},
			"changed": {Name: "changed", Event: "hit", Cell: time.Hour, Measures: count}}}
}

// newWorld sends events of a few ids into the world, and lands and publishes a part of them.
func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), objects: map[string][]byte{},
		log: map[int][]eventbatch.Message{}, first: map[int]uint64{}}
	w.records.Bodies = map[string][]byte{}
	c := testCatalog()
	w.state = record.EmptyState(partitions)
	for p := range partitions {
		w.chains = append(w.chains, record.NewChain(p))
		w.commit(p, &record.Commit{Kind: record.Seal, Start: 1, End: 1,
			Next: &record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: partitions}})
		w.fill(p)
	}
	w.state.N = 7
	w.state.Publication = &record.Publication{N: 7, Limit: limit}
	w.state.Views = map[string]record.ViewState{}
	for name, v := range c.Views {
		w.state.Views[name] = record.ViewState{Digest: c.Digest(v), Reading: record.CurrentReading,
			Overflowed: w.overflowed(c, v)}
	}
	if seed%3 == 0 {
		filling := w.state.Views["pages"]
		filling.Fill = &record.Fill{From: bucketOf(w.events[len(w.events)/2]), Buckets: 1, Rows: 1}
		w.state.Views["pages"] = filling
	}
	changed := w.state.Views["changed"]
	changed.Digest = "another"
	w.state.Views["changed"] = changed
	return w
}

func (w *world) commit(p int, c *record.Commit) {
	w.t.Helper()
	c.Partition = p
	c.Created = landed
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

// fill makes three segments of a partition, of which two are published, and messages that have not landed.
func (w *world) fill(p int) {
	seq := uint64(1)
	for segment := range 4 {
		from := seq
		byType := map[string]*object.Table{}
		var events []*sent
		for range 1 + w.rng.IntN(4) {
			message, c := w.message(p, seq)
			if segment == 3 {
				w.appendMessage(p, seq, message[0].eventType, c)
				seq++
				continue
			}
			for _, x := range message {
				x.landed = true
				x.published = segment < 2
			}
			table := byType[message[0].eventType]
			if table == nil {
				table = object.NewTable(message[0].eventType, p, 1, time.Hour)
				byType[message[0].eventType] = table
			}
			if err := table.Append(position.Offset{Epoch: 1, Seq: seq}, 0, c); err != nil {
				w.t.Fatal(err)
			}
			if segment == 2 { // The log still has the last segment.
				w.appendMessage(p, seq, message[0].eventType, c)
			}
			events = append(events, message...)
			seq++
		}
		if segment < 3 {
			w.land(p, from, seq, byType, events)
		}
		if segment == 1 {
			w.state.H[p] = position.Offset{Epoch: 1, Seq: seq}
		}
	}
}

// land commits a segment.
func (w *world) land(p int, from, to uint64, byType map[string]*object.Table, events []*sent) {
	c := &record.Commit{Kind: record.Segment, Epoch: 1, Start: from, End: to, Events: int64(len(events))}
	for _, eventType := range slices.Sorted(maps.Keys(byType)) {
		raw, o, err := byType[eventType].Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		o.Key = fmt.Sprintf("data/%s/%d-%d", eventType, p, from)
		o.Tenants = map[string]int64{}
		for _, x := range events {
			if x.eventType == eventType {
				x.object = o.Key
				o.Tenants[x.tenant]++
			}
		}
		w.objects[o.Key] = raw
		c.Objects = append(c.Objects, o)
	}
	w.commit(p, c)
}

// generationOf is the generation by which a message was decoded. Some messages do not say so.
func generationOf(seq uint64) uint64 { return seq % 3 }

func (w *world) appendMessage(p int, seq uint64, eventType string, c eventbatch.Columns) {
	frame, err := eventbatch.Append(nil, eventType, generationOf(seq), landed.UnixMicro(), c.Rec)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(w.log[p]) == 0 {
		w.first[p] = seq
	}
	w.log[p] = append(w.log[p], eventbatch.Message{Seq: seq, Frame: frame})
}

// message draws a message of events whose keys are of the partition.
func (w *world) message(p int, seq uint64) ([]*sent, eventbatch.Columns) {
	eventType := []string{"hit", "hit", "hit", "plain", "gone"}[w.rng.IntN(5)]
	var events []*sent
	for len(events) == 0 || w.rng.IntN(4) > 0 {
		x := &sent{eventType: eventType, tenant: w.pick("a", "b"), source: w.pick("", "shop"),
			id: w.pick("1", "2", "3", "4", "5"), hash: uint64(w.rng.IntN(2)), page: w.pick("/a", "/b", "/c", "/d"),
			time:     start.Add(time.Duration(w.rng.IntN(180)) * time.Minute).UnixMicro(),
			assigned: w.rng.IntN(2) == 0}
		if w.rng.IntN(4) > 0 {
			status := int64(w.rng.IntN(5))
			x.status = &status
		}
		if eventbatch.TenantSourceID.Key(x.tenant, x.source, x.id).Partition(partitions) != p {
			continue
		}
		x.position = openapi.Position{Partition: p, Epoch: 1, Sequence: seq, Index: len(events)}
		events = append(events, x)
		w.events = append(w.events, x)
	}
	return events, columnsOf(w.t, events)
}

func (w *world) pick(of ...string) string { return of[w.rng.IntN(len(of))] }

func columnsOf(t testing.TB, events []*sent) eventbatch.Columns {
	e := &catalog.EventType{Name: events[0].eventType}
	if e.Name != "plain" {
		e.Fields = testCatalog().Events["hit"].Fields
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	for _, x := range events {
		k := eventbatch.TenantSourceID.Key(x.tenant, x.source, x.id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(x.tenant)
		flags := eventbatch.FlagHashOfValues
		if x.assigned {
			flags |= eventbatch.FlagTimeAssigned
		}
		b.Field(2).(*array.Uint8Builder).Append(flags)
		b.Field(3).(*array.Uint64Builder).Append(x.hash)
		b.Field(4).(*array.StringBuilder).Append(x.id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(x.time))
		b.Field(6).(*array.StringBuilder).Append(x.source)
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		if len(e.Fields) == 0 {
			continue
		}
		b.Field(9).(*array.StringBuilder).Append(x.page)
		if x.status == nil {
			b.Field(10).AppendNull()
		} else {
			b.Field(10).(*array.Int64Builder).Append(*x.status)
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// store returns a store over the world.
func (w *world) store() *Store {
	s, err := New(Config{Catalog: testCatalog(), Identity: eventbatch.TenantSourceID,
		Chains: func(context.Context) ([]*record.Chain, error) { return w.chains, nil },
		Open: func(ctx context.Context, o record.Object) (exact.File, error) {
			return object.Open(ctx, o, bytes.NewReader(w.objects[o.Key]))
		},
		Records: &w.records, Log: memoryLog{w},
		Newest: func(context.Context) (*record.State, error) { return w.state, nil },
		DeadLetters: func(_ context.Context, tenant string, f deadletter.Filter) (page deadletter.Page, err error) {
			for _, l := range w.letters {
				if l.Tenant == tenant && l.EventID == f.EventID && l.Source == *f.Source {
					page.Letters = append(page.Letters, l)
				}
			}
			return page, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// memoryLog is the log of a world.
type memoryLog struct{ *world }

func (l memoryLog) Bounds(_ context.Context, p int) (first, next uint64, err error) {
	return l.first[p], l.first[p] + uint64(len(l.log[p])), nil
}

func (l memoryLog) Read(_ context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return &memoryReader{l.log[p][from-l.first[p]:]}, nil
}

func (l memoryLog) Get(_ context.Context, p int, seq uint64) ([]byte, time.Time, error) {
	if seq < l.first[p] || seq-l.first[p] >= uint64(len(l.log[p])) {
		return nil, time.Time{}, position.ErrTrimmed
	}
	return l.log[p][seq-l.first[p]].Frame, landed, nil
}

type memoryReader struct{ messages []eventbatch.Message }

func (r *memoryReader) Next(context.Context) (eventbatch.Message, error) {
	m := r.messages[0]
	r.messages = r.messages[1:]
	return m, nil
}

func (r *memoryReader) Close() {}

// overflowed lists the published events of a view with a value beyond the limit, by the definition of B7.
func (w *world) overflowed(c *catalog.Catalog, v *catalog.View) (out []record.BucketEvents) {
	type owner struct {
		bucket int64
		tenant string
	}
	counts := map[owner]int64{}
	for _, x := range w.events {
		if x.published && x.eventType == v.Event && w.copyOf(x) == nil && len(excluded(v, x)) == 0 &&
			len(w.over(v, x)) > 0 {
			counts[owner{window.Floor(x.time, c.Bucket), x.tenant}]++
		}
	}
	for o, n := range counts {
		out = append(out, record.BucketEvents{Bucket: o.bucket, Tenant: o.tenant, Events: n})
	}
	slices.SortFunc(out, record.CompareBucketEvents)
	return out
}

// landAlone lands a message as a segment of its own. The log ends at its start.
func (w *world) landAlone(p int, seq uint64, events []*sent) {
	table := object.NewTable(events[0].eventType, p, 1, time.Hour)
	if err := table.Append(position.Offset{Epoch: 1, Seq: seq}, 0, columnsOf(w.t, events)); err != nil {
		w.t.Fatal(err)
	}
	w.events = slices.DeleteFunc(w.events,
		func(x *sent) bool { return x.position.Partition == p && x.position.Sequence >= seq })
	w.land(p, seq, seq+1, map[string]*object.Table{events[0].eventType: table}, events)
}

// firstOf returns the event at the lowest position with the identity of x.
func (w *world) firstOf(x sent) *sent {
	var first *sent
	for _, o := range w.events {
		if o.tenant == x.tenant && o.source == x.source && o.id == x.id && (first == nil || isBefore(o, first)) {
			first = o
		}
	}
	return first
}

// reject appends a dead letter to the log of a partition.
func (w *world) reject(p int, tenant, source, id string) {
	e := deadletter.EventType()
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	digest := deadletter.Digest("unknown_type", []byte(id))
	letter := deadletter.EventID(digest)
	k := eventbatch.TenantSourceID.Key(tenant, source, letter)
	for i, f := range b.Schema().Fields() {
		switch f := b.Field(i).(type) {
		case *array.FixedSizeBinaryBuilder:
			f.Append(k[:])
		case *array.Uint8Builder:
			f.Append(eventbatch.FlagTimeAssigned)
		case *array.Uint64Builder:
			f.Append(deadletter.PayloadHash(digest))
		case *array.TimestampBuilder:
			f.Append(arrow.Timestamp(landed.UnixMicro()))
		case *array.Int64Builder:
			f.Append(1)
		case *array.BooleanBuilder:
			f.Append(false)
		}
		values := map[string]string{eventbatch.ColTenant: tenant, eventbatch.ColSource: source,
			eventbatch.ColID: letter, deadletter.FieldEventID: id, deadletter.FieldCode: "unknown_type"}
		if s, isString := b.Field(i).(*array.StringBuilder); isString {
			if v, has := values[f.Name]; has {
				s.Append(v)
			} else {
				s.AppendNull()
			}
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		w.t.Fatal(err)
	}
	w.appendMessage(p, w.first[p]+uint64(len(w.log[p])), deadletter.Type, c)
}
