package publish

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/record"
)

// reload reads the chains from the stored records again, as a new process does.
func (w *world) reload() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.chains {
		c := record.NewChain(p)
		for raw, ok := w.records.Bodies[c.NextKey()]; ok; raw, ok = w.records.Bodies[c.NextKey()] {
			if _, err := c.Extend(raw); err != nil {
				w.t.Fatal(err)
			}
		}
		w.chains[p] = c
	}
}

// published returns a world with three publications whose objects and rows are all old enough to be collected.
func published(t *testing.T) (w *world, p *Publisher) {
	t.Helper()
	w, r := newRandomWorld(t)
	p = w.publisher(catalogOf(slimView()), nil)
	for range 3 {
		w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 3)...)
		w.recompute(p)
		w.advance(time.Hour)
	}
	w.advance(48 * time.Hour)
	return w, p
}

// refuses checks that no job changes anything, and that the errors say what differs.
func (w *world) refuses(p *Publisher, names string) {
	w.t.Helper()
	objects := len(w.objects)
	newest := p.State().N
	rows := w.queryNumber("SELECT count() FROM cells_slim_" + p.cfg.Catalog.Digest(slimView()))
	_, recompute := p.Recompute(w.t.Context())
	_, collect := p.Collect(w.t.Context())
	check := p.CheckStored(w.t.Context())
	if err := p.Refused(); !errors.Is(err, record.ErrMissing) {
		w.t.Errorf("after the refusal the publisher says %v", err)
	}
	for job, err := range map[string]error{"recompute": recompute, "collect": collect, "expire": check} {
		if !errors.Is(err, record.ErrMissing) || !strings.Contains(err.Error(), names) {
			w.t.Errorf("%s: got the error %v, want one that names %s", job, err, names)
		}
	}
	if got := w.queryNumber("SELECT count() FROM cells_slim_" + p.cfg.Catalog.Digest(slimView())); got != rows ||
		len(w.objects) != objects || p.State().N != newest {
		w.t.Errorf("%d of %d rows and %d of %d objects are left, the newest is %d; want no change", got, rows,
			len(w.objects), objects, p.State().N)
	}
}

// TestMissingCommitRecords removes the newest commit records of a partition. The objects that they name look as if
// no record named them (C8).
func TestMissingCommitRecords(t *testing.T) {
	t.Parallel()
	w, p := published(t)
	whole := maps.Clone(w.records.Bodies)
	last := w.chains[1].LastKey()
	w.forget(last)
	w.refusesLogTrim(p, false) // The chain in memory is whole, and the store lacks its end.
	if _, err := p.Collect(t.Context()); !errors.Is(err, record.ErrMissing) || !strings.Contains(err.Error(), last) {
		t.Errorf("a running process: collect returned %v, want an error that names %s", err, last)
	}
	w.reload()
	w.refuses(p, last)
	w.refusesLogTrim(p, true)
	w.refuses(w.publisher(p.cfg.Catalog, nil), last)

	w.records.Bodies = whole
	w.reload()
	objects := len(w.objects)
	if got := w.collect(p); got.Objects != 0 || len(w.objects) != objects {
		t.Errorf("the records are restored: collected %+v, want no objects", got)
	}
	w.works(p)
}

// refusesLogTrim checks that the log is not trimmed where a chain is short.
func (w *world) refusesLogTrim(p *Publisher, want bool) {
	w.t.Helper()
	err := p.EnsureObjects(w.t.Context(), []uint64{1, 1}, []uint64{2, 2})
	if errors.Is(err, record.ErrMissing) != want {
		w.t.Errorf("EnsureObjects returned %v; an error about missing records: want %t", err, want)
	}
}

func (w *world) forget(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		if _, ok := w.records.Bodies[k]; !ok {
			w.t.Fatalf("there is no record %s", k)
		}
		delete(w.records.Bodies, k)
	}
}

// works checks that recompute and collect work again.
func (w *world) works(p *Publisher) {
	w.t.Helper()
	if err := p.CheckStored(w.t.Context()); err != nil {
		w.t.Errorf("after the repair: %v", err)
	}
	w.recompute(p)
	if err := p.Refused(); err != nil {
		w.t.Errorf("after the repair the publisher says %v", err)
	}
	w.collect(p)
}

// TestReplacedCommitRecord lets another lander land the last segment again after its record was lost. The
// chain is long enough, but it is not the one that was published.
func TestReplacedCommitRecord(t *testing.T) {
	t.Parallel()
	w, p := published(t)
	c := w.chains[0]
	segment := *c.Segments[len(c.Segments)-1]
	key := c.LastKey()
	w.forget(key)
	w.reload()
	w.now = w.now.Add(time.Second)
	w.commit(0, &segment)
	w.refuses(p, key)
	w.refuses(w.publisher(p.cfg.Catalog, nil), "was replaced")
}

// TestMissingPublication removes the newest publication. Its number must not be given again while
// anything says that it existed (P2).
func TestMissingPublication(t *testing.T) {
	t.Parallel()
	w, p := published(t)
	newest := p.State().N
	key := record.PublicationKey(newest)
	raw := w.records.Bodies[key]
	w.forget(key)
	w.refuses(p, key)
	again := w.publisher(p.cfg.Catalog, nil)
	w.refuses(again, key)

	w.records.Bodies[key] = raw
	w.works(again)
	w.works(p)

	newest = p.State().N
	w.forget(record.PublicationKey(newest))
	if err := w.db.Exec(t.Context(), fmt.Sprintf("DELETE FROM recount_published WHERE n >= %d", newest)); err != nil {
		t.Fatal(err)
	}
	w.records.Bodies[PinKey(newest)] = fmt.Appendf(nil, `{"n":%d}`, newest)
	w.refuses(w.publisher(p.cfg.Catalog, nil), PinKey(newest))
	w.forget(PinKey(newest))
	again = w.publisher(p.cfg.Catalog, nil)
	w.land("flight", randomEvents(rand.New(rand.NewPCG(3, 4)), 40, epoch.UnixMicro(), 3)...)
	if got := w.recompute(again); got.Publication != newest {
		t.Errorf("without any witness: published %d, want %d", got.Publication, newest)
	}
	w.works(again)
}

// TestFasterPublisherIsNoWitness checks that a publisher which lags another one is not refused.
func TestFasterPublisherIsNoWitness(t *testing.T) {
	t.Parallel()
	w, p := published(t)
	other := w.publisher(p.cfg.Catalog, nil)
	w.land("flight", event{id: "late", tenant: "t", time: epoch.UnixMicro()})
	n := w.recompute(other).Publication
	if err := other.Pin(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := p.CheckStored(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.recompute(p); !got.Nothing || got.Publication != n || !slices.Contains(p.Kept(), n) {
		t.Errorf("got %+v, want publication %d", got, n)
	}
}
