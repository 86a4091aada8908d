package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"recount/schemas/record"
)

// failingViews fails at the operations that are set.
type failingViews struct {
	Views
	projected bool
	refuse    bool
}

func (v failingViews) Projected(ctx context.Context) (uint64, error) {
	if v.projected {
		return 0, errDied
	}
	return v.Views.Projected(ctx)
}

func (v failingViews) Refuse(ctx context.Context, message string) error {
	if v.refuse {
		return errDied
	}
	return v.Views.Refuse(ctx, message)
}

// lagging returns a publisher that has not read the newest publication, and that publication's key.
func lagging(t *testing.T) (w *world, p *Publisher, newest string) {
	t.Helper()
	w, p = published(t)
	other := w.publisher(p.cfg.Catalog, nil)
	w.land("flight", event{id: "late", tenant: "t", time: epoch.UnixMicro()})
	n := w.recompute(other).Publication
	if err := other.Pin(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return w, p, record.PublicationKey(n)
}

// TestLostIsRemembered loses a publication while ClickHouse fails. What the other witnesses say counts nevertheless,
// and what was known stays known while the witness that said it does not answer.
func TestLostIsRemembered(t *testing.T) {
	t.Parallel()
	w, p, key := lagging(t)
	raw := w.records.Bodies[key]
	views := p.views
	for name, failing := range map[string]failingViews{
		"the VIEWs cannot be refused":    {views, false, true},
		"the projection does not answer": {views, true, false},
	} {
		w.forget(key)
		p.views = failing
		if err := p.CheckStored(t.Context()); !errors.Is(err, errDied) || !errors.Is(err, record.ErrMissing) ||
			!strings.Contains(err.Error(), key) {
			t.Errorf("%s: got the error %v, want both", name, err)
		}
		if _, err := p.Newest(t.Context()); !errors.Is(err, record.ErrMissing) {
			t.Errorf("%s: Newest returned %v, want an error about a missing publication", name, err)
		}
		pin := PinKey(p.State().N + 1)
		body := w.records.Bodies[pin]
		w.forget(pin)
		p.views = failingViews{views, true, false}
		if err := p.CheckStored(t.Context()); !errors.Is(err, errDied) {
			t.Errorf("%s: no witness answers, and the error is %v", name, err)
		}
		if _, err := p.Newest(t.Context()); !errors.Is(err, record.ErrMissing) {
			t.Errorf("%s: no witness answers, and Newest returned %v", name, err)
		}
		w.records.Bodies[pin] = body
		p.lost.Store(nil)
		w.records.Bodies[key] = raw
	}
	p.views = views
	w.works(p)
}

// TestEndOfLost puts a lost publication back. SQL VIEWs answer without another run, and a refusal ends only if the
// lost publication was its cause.
func TestEndOfLost(t *testing.T) {
	t.Parallel()
	w, p, key := lagging(t)
	raw := w.records.Bodies[key]
	objectLost := fmt.Errorf("%w: trimmed", record.ErrObjectLost)
	for _, other := range []error{nil, objectLost} {
		w.forget(key)
		p.newest.Store(p.recent[0])
		p.recent = p.recent[:1]
		if _, err := p.Recompute(t.Context()); !errors.Is(err, record.ErrMissing) {
			t.Fatalf("a publication is missing, and a run returned %v", err)
		}
		var n uint64
		if err := w.db.QueryRow(t.Context(), "SELECT count() FROM slim").Scan(&n); err == nil {
			t.Error("a publication is missing, and SQL answers")
		}
		if other != nil {
			p.setRefused(other)
		}
		p.lookForLost(t.Context())
		if p.Refused() == nil {
			t.Error("a publication is missing, and nothing says so")
		}
		w.records.Bodies[key] = raw
		p.lookForLost(t.Context())
		if err := p.Refused(); !errors.Is(err, other) {
			t.Errorf("after the repair the refusal is %v, want %v", err, other)
		}
		w.queryNumber("SELECT count() FROM slim")
	}
}

// TestReload reads the publications again while the process answers. It never knows less than before, also after an
// error, and OnPublish is called once for each.
func TestReload(t *testing.T) {
	t.Parallel()
	w, p, newest := lagging(t)
	known := p.State().N
	oldest := p.OldestKept().N
	var seen []uint64
	p.cfg.OnPublish = func(s *record.State) {
		seen = append(seen, s.N)
		if now := p.State().N; now <= known {
			t.Errorf("publication %d is the newest while %d is announced", now, s.N)
		}
	}
	second := record.PublicationKey(2)
	raw := w.records.Bodies[second]
	b, err := record.DecodePublication(raw)
	if err != nil {
		t.Fatal(err)
	}
	b.Previous = strings.Repeat("0", len(b.Previous))
	if w.records.Bodies[second], err = b.Encode(); err != nil {
		t.Fatal(err)
	}
	if err := p.loadNewest(t.Context()); err == nil || p.State().N != known || p.OldestKept().N != oldest {
		t.Errorf("after the error %v the publications from %d to %d are kept, want %d to %d", err, p.OldestKept().N,
			p.State().N, oldest, known)
	}
	w.records.Bodies[second] = raw
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			if p.State().N < known || p.OldestKept().N == 0 {
				t.Error("what was known is forgotten while the publications are read again")
				return
			}
		}
	}()
	if err := p.loadNewest(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	if record.PublicationKey(p.State().N) != newest || !slices.Equal(seen, []uint64{known + 1}) {
		t.Errorf("the newest is %d and %v were announced, want %s alone", p.State().N, seen, newest)
	}
}
