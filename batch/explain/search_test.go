package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
)

// TestBusy asks while as many searches run as may run: the call does not wait.
func TestBusy(t *testing.T) {
	t.Parallel()
	s := newWorld(t, 1).store()
	for range searchesAtOnce {
		s.searches <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Explain(ctx, Question{Tenant: "a", ID: "1"}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want %v", err, ErrBusy)
	}
	<-s.searches
	if _, err := s.Explain(ctx, Question{Tenant: "a", ID: "1"}); err != nil {
		t.Error(err)
	}
}

// TestRefusedPublication asks while the record of a publication is missing: nothing is said of an older one.
func TestRefusedPublication(t *testing.T) {
	t.Parallel()
	s := newWorld(t, 1).store()
	s.cfg.Newest = func(context.Context) (*record.State, error) { return nil, record.ErrMissing }
	if _, err := s.Explain(t.Context(), Question{Tenant: "a", ID: "1"}); !errors.Is(err, record.ErrMissing) {
		t.Errorf("explain: got %v", err)
	}
	if _, err := s.Receipt(t.Context(), nil); !errors.Is(err, record.ErrMissing) {
		t.Errorf("receipt: got %v", err)
	}
}

// TestLostObject asks after an object was lost: the others are searched, and the answer names it.
func TestLostObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	x := w.events[0]
	s := w.store()
	open := s.cfg.Open
	s.cfg.Open = func(ctx context.Context, o record.Object) (exact.File, error) {
		if o.Key == x.object {
			return nil, fmt.Errorf("open %s: %w", o.Key, record.ErrNotFound)
		}
		return open(ctx, o)
	}
	got, err := s.Explain(t.Context(), Question{Tenant: x.tenant, Source: x.source, ID: x.id})
	if err != nil || got.Search.Complete || len(got.Search.Missing) != 1 ||
		!strings.Contains(got.Search.Missing[0], x.object) {
		t.Errorf("%+v, %v", got, err)
	}
}

// seal opens the next epoch of a partition at the head of its chain.
func (w *world) seal(p int, rule position.CutRule) {
	head := w.chains[p].Head
	w.commit(p, &record.Commit{Kind: record.Seal, Epoch: head.Epoch, Start: head.Seq, End: head.Seq,
		Next: &record.Next{Epoch: head.Epoch + 1, Rule: rule, Bucket: time.Hour, Partitions: partitions}})
}

// TestReceiptOfAnEarlierEpoch asks for messages that have not landed when their epoch is sealed. Another cut rule
// leaves them in the log, and a log that lost its end has other messages in their place.
func TestReceiptOfAnEarlierEpoch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lost       bool
		head, land openapi.ReceiptState
	}{
		{false, openapi.ReceiptLogged, openapi.ReceiptLanded},
		{true, openapi.ReceiptUnknown, openapi.ReceiptUnknown},
	} {
		w := newWorld(t, 3)
		at := w.events[len(w.events)-1].position
		p := at.Partition
		if seq := w.chains[p].Head.Seq; at.Sequence < seq {
			t.Fatalf("message %d has landed", at.Sequence)
		}
		rule := w.chains[p].Rule()
		if !c.lost {
			rule.Rows++
		}
		w.seal(p, rule)
		ask := func() openapi.ReceiptState {
			got, err := w.store().Receipt(t.Context(), []Place{{at, 1}})
			if err != nil {
				t.Fatal(err)
			}
			return got.Places[0].State
		}
		if got := ask(); got != c.head {
			t.Errorf("lost %v: before it lands: got %s, want %s", c.lost, got, c.head)
		}
		w.commit(p, &record.Commit{Kind: record.Segment, Epoch: 2, Start: w.chains[p].Head.Seq, End: at.Sequence + 1})
		w.chains[p].Segments = append(w.chains[p].Segments, &record.Commit{Kind: record.Segment, Epoch: 2,
			Partition: p, Start: w.chains[p].Segments[len(w.chains[p].Segments)-1].End, End: at.Sequence + 1})
		if got := ask(); got != c.land {
			t.Errorf("lost %v: landed: got %s, want %s", c.lost, got, c.land)
		}
	}
}

// TestOlderDigest asks about a view whose rows were published under the digest of an older program.
func TestOlderDigest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.store()
	v := s.cfg.Catalog.Catalog().Views["changed"]
	v.Measures = []catalog.Measure{{Name: "d", Kind: catalog.Distinct, Field: "page"}}
	older := s.cfg.Catalog.Catalog().SketchedDigest(v)
	if older == s.cfg.Catalog.Catalog().Digest(v) {
		t.Fatal("the view has one digest only")
	}
	w.state.Views["changed"] = record.ViewState{Digest: older}
	counted := 0
	for _, x := range w.events {
		if !x.published || x.eventType != "hit" || w.copyOf(x) != nil {
			continue
		}
		got, err := s.Explain(t.Context(), Question{Tenant: x.tenant, Source: x.source, ID: x.id})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Events {
			for _, seen := range e.Views {
				if e.Position == x.position && seen.View == "changed" && seen.Status == openapi.EventCounted {
					counted++
				}
			}
		}
	}
	if counted == 0 {
		t.Error("no event is counted under the older digest")
	}
}

// TestManyLetters asks for an id that was rejected many times, by events of the log of which some have landed
// meanwhile.
func TestManyLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for range 5 * maxLetters {
		w.reject(0, "a", "shop", "bad")
	}
	last := uint64(len(w.log[0])) + w.first[0] - 1
	w.letters = []deadletter.Letter{{Name: deadletter.Name{Seq: last}.String(), Received: landed, Tenant: "a",
		EventID: "bad", Source: "shop"}}
	got, err := w.store().Explain(t.Context(), Question{Tenant: "a", Source: "shop", ID: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, l := range got.DeadLetters {
		names[l.Name] = true
	}
	if len(got.DeadLetters) != maxLetters || len(names) != maxLetters || cap(got.DeadLetters) > maxLetters {
		t.Errorf("%d letters with %d names, room for %d", len(got.DeadLetters), len(names), cap(got.DeadLetters))
	}
}

// TestNewestLetters gives a letter that was found twice among too many.
func TestNewestLetters(t *testing.T) {
	t.Parallel()
	twice := []deadletter.Letter{{Name: "0-1-0", Received: landed}, {Name: "0-2-0", Received: landed.Add(1)},
		{Name: "0-1-0", Received: landed}}
	if got := newestLetters(twice); len(got) != 2 || got[0].Name != "0-2-0" {
		t.Errorf("got %+v", got)
	}
}

// TestRowSharesNoMemory keeps one row of a large message, which must not keep the message.
func TestRowSharesNoMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	large := slices.Repeat([]*sent{w.events[0]}, 1000)
	frame, err := eventbatch.Append(nil, large[0].eventType, 0, landed.UnixMicro(), columnsOf(t, large).Rec)
	if err != nil {
		t.Fatal(err)
	}
	_, batches, err := eventbatch.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	row, err := rowOf(batches[0], 500, 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, column := range row.Rec.Columns() {
		for _, b := range column.Data().Buffers() {
			if b != nil {
				bytes += b.Cap()
			}
		}
		if d, isDictionary := column.(*array.Dictionary); isDictionary && d.Dictionary().Len() > 1 {
			t.Errorf("a dictionary of %d values", d.Dictionary().Len())
		}
	}
	if bytes > 8<<10 {
		t.Errorf("a row keeps %d bytes", bytes)
	}
}
