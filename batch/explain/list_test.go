package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
)

// timedLog stores each message later than the one before, in all partitions.
type timedLog struct{ memoryLog }

func (l timedLog) Get(ctx context.Context, p int, seq uint64) ([]byte, time.Time, error) {
	frame, _, err := l.memoryLog.Get(ctx, p, seq)
	return frame, storedTime(p, seq), err
}

func storedTime(p int, seq uint64) time.Time {
	return landed.Add(time.Duration(seq)*time.Minute + time.Duration(p)*time.Second)
}

func (w *world) lister() *Store {
	s := w.store()
	s.cfg.Log = timedLog{memoryLog{w}}
	return s
}

func (w *world) next(p int) uint64 {
	if len(w.log[p]) == 0 {
		return w.chains[p].Head.Seq
	}
	return w.first[p] + uint64(len(w.log[p]))
}

// arrive appends a message to a partition's log.
func (w *world) arrive(p int) {
	seq := w.next(p)
	events, c := w.message(p, seq)
	w.appendMessage(p, seq, events[0].eventType, c)
}

// landTail lands what a partition's log has above the head, and trims some of the log.
func (w *world) landTail(p int) {
	chain := *w.chains[p]
	w.chains[p] = &chain // A list that has begun keeps the chain that it has.
	from := chain.Head.Seq
	to := w.next(p)
	if from == to {
		return
	}
	byType := map[string]*object.Table{}
	var events []*sent
	for seq := from; seq < to; seq++ {
		h, batches, err := eventbatch.Decode(w.log[p][seq-w.first[p]].Frame)
		if err != nil {
			w.t.Fatal(err)
		}
		if byType[h.Type] == nil {
			byType[h.Type] = object.NewTable(h.Type, p, 1, time.Hour)
		}
		for _, c := range batches {
			if err := byType[h.Type].Append(position.Offset{Epoch: 1, Seq: seq}, 0, c); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, x := range w.events {
		if x.position.Partition == p && x.position.Sequence >= from {
			x.landed = true
			events = append(events, x)
		}
	}
	w.land(p, from, to, byType, events)
	if keep := to - uint64(w.rng.IntN(int(to-from)+1)); keep > w.first[p] {
		w.log[p] = slices.Clone(w.log[p][keep-w.first[p]:])
		w.first[p] = keep
	}
}

// step changes the world between two pages.
func (w *world) step(t *rapid.T) {
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		p := rapid.IntRange(0, partitions-1).Draw(t, "partition")
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			w.arrive(p)
		case 1:
			w.landTail(p)
		default:
			w.state = &record.State{Publication: w.state.Publication, N: w.state.N, Views: w.state.Views,
				H: slices.Clone(w.state.H)}
			w.state.H[p] = w.chains[p].Head
			for _, x := range w.events {
				x.published = x.published || x.landed && x.position.Partition == p
			}
		}
	}
}

// wantEvent is what a list says of an event, in short.
func wantEvent(x *sent) string {
	data := map[string]any{}
	if x.eventType != "plain" {
		data["page"] = x.page
		if x.status != nil {
			data["status"] = *x.status
		}
	}
	raw, _ := json.Marshal(data)
	return fmt.Sprintf("%d-%d-%d %s/%s %d %v %s", x.position.Partition, x.position.Sequence, x.position.Index, x.source,
		x.id, x.time, x.assigned, raw)
}

func gotEvent(t *rapid.T, x *openapi.StoredEvent) string {
	var e struct {
		ID, Source, Type string
		Time             time.Time
		Data             map[string]any
	}
	raw, err := json.Marshal(x.Event)
	if err == nil {
		err = json.Unmarshal(raw, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	if e.Data == nil {
		t.Errorf("%s lacks data", raw)
	}
	data, _ := json.Marshal(e.Data)
	return fmt.Sprintf("%s %s/%s %d %v %s", positionOf(x.StoredAt.Position), e.Source, e.ID, e.Time.UnixMicro(),
		x.TimeAssigned, data)
}

func positionOf(p openapi.Position) string {
	return fmt.Sprintf("%d-%d-%d", p.Partition, p.Sequence, p.Index)
}

// TestListMatchesWhatWasSent reads all pages of random lists, while events arrive, land, are published and are trimmed
// from the log. Together the pages have each event of the tenant, type, range and condition that was sent before the
// first page, once, and each says how far it has come.
func TestListMatchesWhatWasSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, rapid.Uint64Range(0, 1<<20).Draw(r, "seed"))
		s := w.lister()
		s.pages = pageLimits{rows: rapid.Int64Range(1, 40).Draw(r, "rows"),
			objects: rapid.IntRange(1, 9).Draw(r, "objects"), tail: rapid.Int64Range(1, 1<<15).Draw(r, "tail"),
			bytes: rapid.Int64Range(1, 2000).Draw(r, "bytes"),
			whole: rapid.SampledFrom([]int64{0, smallRows}).Draw(r, "whole")}
		q := query.EventSelection{Tenant: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "tenant"),
			Event: testCatalog().Events[rapid.SampledFrom([]string{"hit", "hit", "plain"}).Draw(r, "type")],
			Limit: rapid.IntRange(1, 8).Draw(r, "limit"), To: math.MaxInt64, Asked: "this"}
		if rapid.Bool().Draw(r, "range") {
			minute := func(name string) int64 {
				return start.Add(time.Duration(rapid.IntRange(0, 180).Draw(r, name)) * time.Minute).UnixMicro()
			}
			q.From = minute("from")
			q.To = max(q.From+1, minute("to"))
		}
		keeps := func(*sent) bool { return true }
		if q.Event.Name == "hit" && rapid.Bool().Draw(r, "where") {
			keeps = func(x *sent) bool { return x.page != "/a" && (x.status == nil || *x.status >= 2) }
			where, err := query.ParseWhere("page != /a and (status >= 2 or not status exists)")
			if err != nil {
				r.Fatal(err)
			}
			if q.Where, err = query.EventPredicate(q.Event, where); err != nil {
				r.Fatal(err)
			}
		}
		want := map[string]*sent{}
		for _, x := range w.events {
			if x.tenant == q.Tenant && x.eventType == q.Event.Name && x.time >= q.From && x.time < q.To && keeps(x) {
				want[wantEvent(x)] = x
			}
		}
		last := map[int]bound{}
		for n := 0; ; n++ {
			page, err := s.List(t.Context(), q)
			if err != nil {
				r.Fatal(err)
			}
			if len(page.Events) > q.Limit || n > 1000 {
				r.Fatalf("page %d of %d events", n, len(page.Events))
			}
			checkOrder(r, w, page.Events)
			for i := range page.Events {
				x := &page.Events[i]
				at := bound{x.StoredAt.Sequence, x.StoredAt.Index}
				if before, ok := last[x.StoredAt.Partition]; ok && at.compare(before) >= 0 {
					r.Errorf("%v comes after %v", at, before)
				}
				last[x.StoredAt.Partition] = at
				key := gotEvent(r, x)
				if want[key] == nil {
					r.Errorf("listed, but not sent or listed before: %s", key)
					continue
				}
				if got := stateOf(want[key]); x.State != got {
					r.Errorf("%s: state %s, want %s", key, x.State, got)
				}
				delete(want, key)
			}
			if q.Cursor = page.Cursor; q.Cursor == "" {
				break
			}
			w.step(r)
		}
		for key := range want {
			r.Errorf("sent, but not listed: %s", key)
		}
	})
}

// checkOrder: of a page, the event that was stored last comes first. What the log no longer has counts as stored when
// it landed.
func checkOrder(t *rapid.T, w *world, events []openapi.StoredEvent) {
	before := landed.AddDate(1, 0, 0)
	for i := range events {
		at := events[i].StoredAt
		stored := storedTime(at.Partition, at.Sequence)
		if at.Sequence < w.first[at.Partition] || len(w.log[at.Partition]) == 0 {
			stored = landed
			if !at.Time.IsZero() {
				t.Errorf("%v: stored at %v, but the log has no such message", at.Position, at.Time)
			}
		} else if !at.Time.Equal(stored) {
			t.Errorf("%v: stored at %v, want %v", at.Position, at.Time, stored)
		}
		if stored.After(before) {
			t.Errorf("%v was stored after the event above it", at.Position)
		}
		before = stored
	}
}

func stateOf(x *sent) openapi.ReceiptState {
	switch {
	case x.published:
		return openapi.ReceiptPublished
	case x.landed:
		return openapi.ReceiptLanded
	}
	return openapi.ReceiptLogged
}

// TestListMarksCopies: an event is marked exactly if the page has one of the same identity and bucket at a lower
// position.
func TestListMarksCopies(t *testing.T) {
	t.Parallel()
	marked := 0
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		page, err := w.lister().List(t.Context(), query.EventSelection{Tenant: "a", Event: testCatalog().Events["hit"],
			To: math.MaxInt64, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range page.Events {
			want := slices.ContainsFunc(page.Events[i+1:], func(y openapi.StoredEvent) bool {
				return string(y.Event["id"]) == string(x.Event["id"]) &&
					string(y.Event["source"]) == string(x.Event["source"]) && bucketOfEvent(y) == bucketOfEvent(x)
			})
			if x.Copy != want {
				t.Errorf("seed %d, %v: copy %v, want %v", seed, x.StoredAt, x.Copy, want)
			}
			if x.Copy {
				marked++
			}
		}
	}
	if marked == 0 {
		t.Error("no copy in any page")
	}
}

func bucketOfEvent(x openapi.StoredEvent) int64 {
	t, _ := time.Parse(time.RFC3339Nano, strings.Trim(string(x.Event["time"]), `"`))
	return window.Floor(t.UnixMicro(), time.Hour)
}

// TestWhereOfEvents compares fields of each type with values as people write them.
func TestWhereOfEvents(t *testing.T) {
	t.Parallel()
	e := &catalog.EventType{Name: "all", Fields: []catalog.Field{{Name: "at", Type: catalog.Timestamp},
		{Name: "big", Type: catalog.Int64, Expression: "n * 10"}, {Name: "n", Type: catalog.Int64},
		{Name: "ok", Type: catalog.Bool}, {Name: "price", Type: "decimal(10,2)"},
		{Name: "ratio", Type: catalog.Float64},
		{Name: "region", Type: catalog.String, Path: []string{"place", "region"}}}}
	stored := e.Stored()
	stored.Fields = slices.DeleteFunc(stored.Fields, func(f catalog.Field) bool { return f.Name == "price" })
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(stored))
	for row := range 3 {
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(make([]byte, eventbatch.KeySize))
		b.Field(1).(*array.StringBuilder).Append("a")
		b.Field(2).(*array.Uint8Builder).Append(eventbatch.FlagHashOfValues)
		b.Field(3).(*array.Uint64Builder).Append(0)
		b.Field(4).(*array.StringBuilder).Append(fmt.Sprint(row))
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(start.UnixMicro()))
		b.Field(6).(*array.StringBuilder).Append("")
		b.Field(7).AppendNull()
		price := ""
		if row < 2 {
			price = fmt.Sprintf(`,"price":%d.00`, row) // It was declared later.
		}
		b.Field(8).(*array.StringBuilder).Append(fmt.Sprintf(`{"data":{"place":{"region":"r%d"}%s}}`, row, price))
		if row == 2 {
			for i := 9; i < len(b.Fields()); i++ {
				b.Field(i).AppendNull()
			}
			continue
		}
		at := start.Add(time.Duration(row) * time.Hour)
		b.Field(9).(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixMicro()))
		b.Field(10).(*array.Int64Builder).Append(int64(row))
		b.Field(11).(*array.BooleanBuilder).Append(row == 1)
		b.Field(12).(*array.Float64Builder).Append(1)
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"at >= 2024-05-01T11:00:00Z": "1", "at between 2024-05-01T09:00:00Z and 2024-05-01T10:00:00Z": "0",
		"n = 1": "1", "not n = 1": "02", "n = null": "2", "ok = true": "1", "ok != true": "02", "n exists": "01",
		"big = 10": "1", "big < 10": "0", "region = r2": "2", "region suffix 1 or region = r0": "01",
		"source = '' and n in (0, 1)": "01", "subject = null": "012", "price >= 0.01 and n < 5": "1", "": "012",
	} {
		conditions, err := query.ParseWhere(text)
		if err != nil {
			t.Fatal(err)
		}
		where, err := query.EventPredicate(e, conditions)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		keeps, err := newMatcher(e, where).rows(c, false, &query.EventSelection{Tenant: "a", To: math.MaxInt64})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for row := range 3 {
			if keeps(row) {
				got += fmt.Sprint(row)
			}
		}
		if got != want {
			t.Errorf("%s: rows %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"ratio = 1", "none = 1", "ok > false", "n prefix 1", "at = noon", "price = a"} {
		conditions, err := query.ParseWhere(text)
		if err != nil {
			t.Fatal(err)
		}
		var refused *query.Error
		if _, err := query.EventPredicate(e, conditions); !errors.As(err, &refused) || refused.Field != "where" {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestCursorsAreBound: a cursor goes with what was asked, and a damaged one is refused.
func TestCursorsAreBound(t *testing.T) {
	t.Parallel()
	c := cursor{from: -3, to: math.MaxInt64, below: []bound{{1, 2}, {math.MaxUint64, 0}}}
	text := c.text("asked")
	got, err := parseCursor(text, "asked", 2)
	if diff := cmp.Diff(c, got, cmp.AllowUnexported(cursor{}, bound{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, wrong := range []struct {
		text, asked string
		partitions  int
	}{{text, "another", 2}, {text, "asked", 3}, {text, "asked", 1}, {text[:len(text)-2], "asked", 2}, {"x", "asked", 2},
		{"AAAA", "asked", 2}, {text + "AA", "asked", 2}, {"!", "asked", 2}} {
		var refused *query.Error
		if _, err := parseCursor(wrong.text, wrong.asked, wrong.partitions); !errors.As(err, &refused) ||
			refused.Field != "cursor" {
			t.Errorf("%+v: got %v", wrong, err)
		}
	}
}

// TestCursorBelowEverything: the cursor that a client makes up reads no message that cannot be.
func TestCursorBelowEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.lister()
	log := &countingLog{Log: s.cfg.Log}
	s.cfg.Log = log
	c := cursor{to: math.MaxInt64, below: make([]bound, len(w.chains))}
	page, err := s.List(t.Context(), query.EventSelection{Tenant: "a", Event: testCatalog().Events["hit"],
		To: math.MaxInt64, Limit: 10, Asked: "asked", Cursor: c.text("asked")})
	if err != nil || len(page.Events) > 0 || page.Cursor != "" || len(page.Missing) > 0 || log.gets.Load() > 0 {
		t.Errorf("got %+v, %v after %d messages; want an empty page", page, err, log.gets.Load())
	}
}

// countingLog counts the messages that are read one by one.
type countingLog struct {
	Log
	gets atomic.Int64
}

func (l *countingLog) Get(ctx context.Context, p int, seq uint64) ([]byte, time.Time, error) {
	l.gets.Add(1)
	return l.Log.Get(ctx, p, seq)
}
