package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/window"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func isBefore(a, b *sent) bool {
	return cmp.Or(cmp.Compare(a.position.Sequence, b.position.Sequence),
		cmp.Compare(a.position.Index, b.position.Index)) < 0
}

func bucketOf(x *sent) int64 { return window.Floor(x.time, time.Hour) }

// copyOf returns the event that x is a copy of, by the definitions of B2 and I3, or nil.
func (w *world) copyOf(x *sent) *sent {
	var first, beside *sent
	for _, o := range w.events {
		same := o.eventType == x.eventType && o.tenant == x.tenant && o.source == x.source && o.id == x.id
		if !same || !isBefore(o, x) {
			continue
		}
		distance := bucketOf(o) - bucketOf(x)
		isBeside := distance == time.Hour.Microseconds() || distance == -time.Hour.Microseconds()
		if distance == 0 && (first == nil || isBefore(o, first)) {
			first = o
		}
		// Of both buckets beside it, the one before is asked first, and there the first assigned time.
		if isBeside && o.assigned && x.assigned &&
			(beside == nil || bucketOf(o) < bucketOf(beside) ||
				bucketOf(o) == bucketOf(beside) && isBefore(o, beside)) {
			beside = o
		}
	}
	if first != nil {
		return first
	}
	return beside
}

// excluded returns the conditions of a view that the event does not meet.
func excluded(v *catalog.View, x *sent) (fields []string) {
	for _, f := range v.Where {
		if f.Field == "status" && (x.status == nil || *x.status < f.Values[0].(int64)) ||
			f.Field == "page" && x.page == f.Values[0] {
			fields = append(fields, f.Field)
		}
	}
	return fields
}

// valueIn returns the value of an event in a dimension.
func valueIn(dimension string, x *sent) any {
	switch {
	case dimension == "page":
		return x.page
	case dimension == "source":
		return x.source
	case x.status == nil:
		return nil
	}
	return *x.status
}

// over returns the dimensions of the event whose value is beyond the limit in the publication, by the definition of B7.
func (w *world) over(v *catalog.View, x *sent) (dimensions []string) {
	for _, d := range v.Dimensions {
		first := map[any]int64{}
		for _, o := range w.events {
			value := valueIn(d, o)
			if !o.published || o.eventType != v.Event || o.tenant != x.tenant || bucketOf(o) != bucketOf(x) ||
				value == nil || w.copyOf(o) != nil || len(excluded(v, o)) > 0 {
				continue
			}
			cell := window.Floor(o.time, v.Cell)
			if at, known := first[value]; !known || cell < at {
				first[value] = cell
			}
		}
		mine := valueIn(d, x)
		earlier := 0
		for value, cell := range first {
			if cell < first[mine] || cell == first[mine] && fmt.Sprint(value) < fmt.Sprint(mine) {
				earlier++
			}
		}
		if mine != nil && earlier >= limit {
			dimensions = append(dimensions, d)
		}
	}
	slices.Sort(dimensions)
	return dimensions
}

// expected returns what should be said of an event.
func (w *world) expected(x *sent) openapi.ExplainedEvent {
	out := openapi.ExplainedEvent{Status: openapi.EventNotCounted, Type: x.eventType, Source: x.source,
		Time: time.UnixMicro(x.time).UTC(), TimeAssigned: x.assigned, Position: x.position, Object: x.object,
		Views: []openapi.ExplainedView{}}
	if x.landed {
		out.Landed = landed
	}
	if x.position.Sequence >= w.first[x.position.Partition] {
		out.Accepted = landed
		out.Generation = generationOf(x.position.Sequence)
	}
	if of := w.copyOf(x); of != nil {
		out.Status = openapi.EventCopy
		out.CopyOf = &of.position
		out.Conflict = of.hash != x.hash
		return out
	}
	c := testCatalog()
	for _, v := range c.ViewsOf(x.eventType) {
		seen := openapi.ExplainedView{View: v.Name, Status: openapi.EventPending}
		for _, f := range v.Where {
			if slices.Contains(excluded(v, x), f.Field) {
				seen.Status = openapi.EventNotCounted
				seen.ExcludedBy = append(seen.ExcludedBy, openapi.Filter{Field: f.Field, Op: f.Op, Values: f.Values})
			}
		}
		if seen.Status == openapi.EventPending {
			seen.Cell = time.UnixMicro(window.Floor(x.time, v.Cell)).UTC()
			seen.Dimensions = map[string]any{}
			for _, d := range v.Dimensions {
				seen.Dimensions[d] = valueIn(d, x)
			}
			fill := w.state.Views[v.Name].Fill
			switch {
			case !x.published || v.Name == "changed":
			case fill != nil && bucketOf(x) < fill.From:
				seen.FilledFrom = time.UnixMicro(fill.From).UTC()
			default:
				seen.Status = openapi.EventCounted
				seen.Publication = w.state.N
				seen.Overflowed = w.over(v, x)
			}
			if out.Status != openapi.EventCounted {
				out.Status = seen.Status
			}
		}
		out.Views = append(out.Views, seen)
	}
	return out
}

// TestOracle asks for every id of random worlds, and compares what is said of each event with the definitions.
func TestOracle(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		s := w.store()
		asked := map[string]bool{}
		for _, x := range w.events {
			q := Question{Tenant: x.tenant, Source: x.source, ID: x.id}
			if asked[fmt.Sprint(q)] {
				continue
			}
			asked[fmt.Sprint(q)] = true
			got, err := s.Explain(t.Context(), q)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, q, err)
			}
			want := []openapi.ExplainedEvent{}
			for _, o := range w.events {
				if o.tenant == x.tenant && o.source == x.source && o.id == x.id {
					want = append(want, w.expected(o))
				}
			}
			if diff := gocmp.Diff(want, got.Events); diff != "" || !got.Search.Complete || got.Publication != 7 {
				t.Fatalf("seed %d: %+v: %+v\n%s", seed, q, got.Search, diff)
			}
			for _, e := range got.Events {
				countKinds(seen, e)
			}
		}
	}
	for _, kind := range []string{"unfilled", "counted", "pending", "copy", "not_counted", "conflict", "overflowed",
		"excluded", "unlanded", "gone", "carried"} {
		if seen[kind] == 0 {
			t.Errorf("no event was %s: %v", kind, seen)
		}
	}
}

// countKinds counts what was said of an event, so that the test notices if a kind never occurs.
func countKinds(seen map[string]int, e openapi.ExplainedEvent) {
	seen[string(e.Status)]++
	if e.Conflict {
		seen["conflict"]++
	}
	if e.Object == "" {
		seen["unlanded"]++
	}
	if e.Type == "gone" {
		seen["gone"]++
	}
	if e.CopyOf != nil && e.TimeAssigned {
		seen["carried"]++
	}
	for _, v := range e.Views {
		seen["overflowed"] += len(v.Overflowed)
		if !v.FilledFrom.IsZero() {
			seen["unfilled"]++
		}
		seen["excluded"] += len(v.ExcludedBy)
	}
}

// TestTenants asks with the id of another tenant.
func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.letters = []deadletter.Letter{{Name: "0-1-0", Tenant: "a", EventID: "1", Source: "shop"}}
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		got, err := w.store().Explain(t.Context(), Question{Tenant: "c", Source: "shop", ID: id})
		if err != nil || len(got.Events) > 0 || len(got.DeadLetters) > 0 || got.Search.Objects > 0 {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
}

// TestManyCopies asks for an event with more copies than an answer has.
func TestManyCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	x := *w.events[0]
	copies := make([]*sent, 100)
	p := x.position.Partition
	seq := w.chains[p].Head.Seq
	w.log[p] = nil
	for i := range copies {
		c := x
		c.position.Sequence = seq
		c.position.Index = i
		c.time = x.time - int64(i%7) // The rows of an object are ordered by time.
		copies[i] = &c
	}
	w.landAlone(p, seq, copies)
	got, err := w.store().Explain(t.Context(), Question{Tenant: x.tenant, Source: x.source, ID: x.id})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != maxEvents || got.More < 50 || got.Events[0].Position != w.firstOf(x).position {
		t.Errorf("%d events from %+v, and %d more", len(got.Events), got.Events[0].Position, got.More)
	}
	shown := 0
	for _, e := range got.Events {
		if e.Position.Sequence != seq {
			continue
		}
		if e.Position.Index != shown {
			t.Errorf("copy %d has index %d, so it is not one of the lowest positions", shown, e.Position.Index)
		}
		shown++
	}
}

// TestTimeRestrictsTheSearch asks with a time, which leaves out far buckets and says so.
func TestTimeRestrictsTheSearch(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		w := newWorld(t, seed)
		for _, x := range w.events {
			at := time.UnixMicro(x.time)
			got, err := w.store().Explain(t.Context(), Question{Tenant: x.tenant, Source: x.source, ID: x.id, Time: at})
			if err != nil {
				t.Fatal(err)
			}
			isIt := func(e openapi.ExplainedEvent) bool { return e.Position == x.position }
			if !slices.ContainsFunc(got.Events, isIt) || got.Search.Complete {
				t.Fatalf("seed %d: %+v is not among %+v", seed, x.position, got.Events)
			}
		}
	}
}

// TestReceipt asks for messages in every state.
func TestReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	want := map[openapi.Position]openapi.ReceiptState{}
	var places []Place
	for _, x := range w.events {
		at := x.position
		places = append(places, Place{at, 1})
		switch {
		case x.published:
			want[at] = openapi.ReceiptPublished
		case x.landed:
			want[at] = openapi.ReceiptLanded
		default:
			want[at] = openapi.ReceiptLogged
		}
	}
	for _, at := range []openapi.Position{{Partition: 9}, {Epoch: 1, Sequence: 1000}, {Epoch: 5, Sequence: 1}} {
		places = append(places, Place{at, 1})
		want[at] = openapi.ReceiptUnknown
	}
	got, err := w.store().Receipt(t.Context(), places)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Places {
		if p.State != want[p.Position] {
			t.Errorf("%+v is %s, want %s", p.Position, p.State, want[p.Position])
		}
	}
	if got.Events != len(places) || len(got.Places) != len(places) {
		t.Errorf("%d events at %d places, want %d", got.Events, len(got.Places), len(places))
	}
}

// TestUnlandedDeadLetter asks for an event whose rejection is still in the log, in another partition.
func TestUnlandedDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for p := range partitions {
		w.reject(p, "a", "shop", fmt.Sprint("bad", p))
	}
	for _, tenant := range []string{"a", "b"} {
		for p := range partitions {
			q := Question{Tenant: tenant, Source: "shop", ID: fmt.Sprint("bad", p)}
			got, err := w.store().Explain(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			found := len(got.DeadLetters) == 1 && got.DeadLetters[0].Code == "unknown_type" &&
				strings.HasPrefix(got.DeadLetters[0].Name, fmt.Sprint(p, "-"))
			if found != (tenant == "a") {
				t.Errorf("tenant %s: %+v", tenant, got.DeadLetters)
			}
		}
	}
}

// brokenLog is a log that cannot be read.
type brokenLog struct{ Log }

func (brokenLog) Bounds(context.Context, int) (first, next uint64, err error) {
	return 0, 0, errors.New("no server")
}

// TestBrokenLog asks while the log cannot be read: what has landed is explained, and the answer says what it lacks.
func TestBrokenLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.store()
	s.cfg.Log = brokenLog{s.cfg.Log}
	x := w.events[0]
	got, err := s.Explain(t.Context(), Question{Tenant: x.tenant, Source: x.source, ID: x.id})
	if err != nil || len(got.Events) == 0 || got.Search.Complete || len(got.Search.Missing) != partitions {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDeadline ends a search at its deadline.
func TestDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	s := newWorld(t, 1).store()
	if _, err := s.Explain(ctx, Question{Tenant: "a", ID: "1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
}
