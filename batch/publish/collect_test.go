package publish

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// bucketSQL returns a bucket start as SQL.
func bucketSQL(b int64) string { return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", b) }

func (w *world) collect(p *Publisher) CollectResult {
	w.t.Helper()
	r, err := p.Collect(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// rowsOf counts the rows that a view's table has of a publication, and those that it should have.
func (w *world) rowsOf(p *Publisher, n uint64, view string) (got, want uint64) {
	w.t.Helper()
	s, err := p.StateAt(w.t.Context(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	table := sqlschema.Table(p.cfg.Catalog.Views[view], s.Views[view].Digest)
	for _, b := range s.Views[view].Buckets {
		want += uint64(b.Rows)
		got += w.queryNumber(fmt.Sprintf("SELECT count() FROM %s WHERE _bucket = %s AND _ver = %d", table,
			bucketSQL(b.Bucket), b.Ver))
	}
	return got, want
}

// TestRaisedKeep collects with batch.keep 3. A later process with batch.keep 6 must not list what was
// collected: it refuses to pin it, and does not answer from it. It lists 6 when there are 6 that were never collected.
func TestRaisedKeep(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView())
	publish := func(p *Publisher, times int) {
		for range times {
			w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
			w.recompute(p)
			w.advance(time.Hour)
		}
	}
	p := w.publisher(c, nil)
	publish(p, 7)
	w.collect(p)
	raised := w.unstarted(c, nil)
	raised.cfg.Keep = 6
	if err := raised.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := raised.Kept(); !slices.Equal(got, []uint64{5, 6, 7}) {
		t.Errorf("kept after a start with a larger batch.keep: %v, want 5 to 7", got)
	}
	if _, err := raised.StateAt(t.Context(), 4); !errors.Is(err, query.ErrCollected) {
		t.Errorf("asking for a collected publication: got %v, want query.ErrCollected", err)
	}
	if err := raised.Pin(t.Context(), 4); !errors.Is(err, query.ErrCollected) {
		t.Errorf("pinning a collected publication: got %v, want query.ErrCollected", err)
	}
	publish(raised, 4)
	if got := raised.Kept(); !slices.Equal(got, []uint64{6, 7, 8, 9, 10, 11}) {
		t.Errorf("kept after four more publications: %v, want 6 to 11", got)
	}
	w.collect(raised)
	for _, n := range raised.Kept() {
		if got, want := w.rowsOf(raised, n, "wide"); got != want || want == 0 {
			t.Errorf("publication %d: %d of %d rows are left", n, got, want)
		}
	}
	if keys, err := w.records.List(t.Context(), CollectedPrefix); err != nil || len(keys) != 1 {
		t.Errorf("horizons of collection: %v, %v; want the newest", keys, err)
	}
}

// TestCollect checks that a collection leaves the rows that kept and pinned publications name, and
// removes all others (P3).
func TestCollect(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView(), slimView())
	p := w.publisher(c, nil)
	if got := w.collect(p); got != (CollectResult{}) {
		t.Errorf("before the first publication: collected %+v, want nothing", got)
	}
	for range 7 {
		w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
		if n := w.recompute(p).Publication; n == 2 {
			if err := p.Pin(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		w.advance(time.Hour)
	}
	got := w.collect(p)
	if got.Rows == 0 || got.Tables != 0 || got.Objects != 0 {
		t.Errorf("collected %+v, want rows alone", got)
	}
	for _, n := range []uint64{2, 5, 6, 7} {
		for _, view := range keys(c.Views) {
			if got, want := w.rowsOf(p, n, view); got != want || want == 0 {
				t.Errorf("publication %d, view %s: %d of %d rows are left", n, view, got, want)
			}
		}
	}
	w.checkWide("collected")
	if n := w.queryNumber(fmt.Sprintf("SELECT uniqExact(_ver) FROM cells_wide_%s WHERE _bucket = %s",
		c.Digest(wideView()), bucketSQL(epoch.UnixMicro()))); n != 4 {
		t.Errorf("%d versions of a bucket are left, want the 4 of the kept publications", n)
	}
	if got := w.collect(p); got != (CollectResult{}) {
		t.Errorf("a second collection: collected %+v, want nothing", got)
	}
	delete(w.records.Bodies, PinKey(2))
	if got := w.collect(p); got.Rows == 0 {
		t.Error("rows of a publication are left after its pin was removed")
	}
	w.checkWide("collected again")
}

// TestCollectSparesAttempts checks U1: the rows of a publication that may still be created stay, and
// those of a lost attempt are removed.
func TestCollectSparesAttempts(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(slimView())
	p := w.publisher(c, nil)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
	w.recompute(p)
	table := "cells_slim_" + c.Digest(slimView())
	for _, version := range []uint64{newVersion(1), newVersion(2)} {
		if err := w.db.Exec(t.Context(),
			fmt.Sprintf("INSERT INTO %s (_bucket, _ver) VALUES (0, %d)", table, version)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.collect(p); got.Rows != 1 {
		t.Errorf("collected %+v, want only the row of the lost attempt at publication 1", got)
	}
}

// TestCollectTables checks that the table of an old definition is removed, unless another process is
// filling it.
func TestCollectTables(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
	w.recompute(w.publisher(catalogOf(slimView(), wideView()), nil))
	filling := wideView()
	filling.Cell = time.Hour
	next := catalogOf(slimView(), filling)
	w.publisher(next, nil)
	if err := w.db.Exec(t.Context(),
		fmt.Sprintf("INSERT INTO cells_wide_%s (_bucket, _ver) VALUES (0, %d)", next.Digest(filling),
			newVersion(1000))); err != nil {
		t.Fatal(err)
	}
	p := w.publisher(catalogOf(slimView()), nil)
	for range 4 {
		w.advance(time.Hour)
		w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
		w.recompute(p)
	}
	if got := w.collect(p); got.Tables != 1 {
		t.Errorf("collected %+v, want one table; the other is being filled", got)
	}
	if n := w.queryNumber("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE " +
		"'cells\\\\_wide\\\\_%'"); n != 1 {
		t.Errorf("%d tables of the removed view are left, want 1", n)
	}
}

// TestCollectProjection checks that the projection before a complete list of buckets is removed once
// every kept publication is at the list or later.
func TestCollectProjection(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView()), nil)
	for range 36 {
		w.advance(time.Hour)
		w.land("flight", randomEvents(r, 4, epoch.UnixMicro(), 2)...)
		w.recompute(p)
	}
	w.collect(p)
	if n := w.queryNumber("SELECT min(n) FROM recount_published"); n != 33 {
		t.Errorf("the projection begins with publication %d, want 33", n)
	}
	w.checkWide("collected")
}

// TestCollectObjects checks C8: an object that no record names is removed once it is older than G.
func TestCollectObjects(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(slimView()), nil)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 3)...)
	w.recompute(p)
	named := len(w.objects)
	w.objects["data/orphan"] = []byte("x")
	w.age["data/orphan"] = w.now
	w.advance(23 * time.Hour)
	w.objects["data/young"] = []byte("x")
	w.age["data/young"] = w.now
	if got := w.collect(p); got.Objects != 0 {
		t.Errorf("collected %+v, want nothing: the object may still be committed", got)
	}
	w.advance(2 * time.Hour)
	if got := w.collect(p); got.Objects != 1 || len(w.objects) != named+1 || w.objects["data/young"] == nil {
		t.Errorf("collected %+v and %d objects are left; want the orphan removed and the young object left", got,
			len(w.objects))
	}
}
