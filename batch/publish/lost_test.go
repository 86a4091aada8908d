package publish

import (
	"fmt"
	"testing"
	"time"
)

// TestLostRows deletes or changes rows of the newest publication without the publisher's knowledge. The next run
// after Suspect writes exactly those buckets again, and the run after that writes nothing.
func TestLostRows(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView(), slimView())
	w.land("flight", randomEvents(r, 400, epoch.UnixMicro(), 5)...)
	p := w.publisher(c, nil)
	w.recompute(p)
	w.checkWide("published")
	wide := "cells_wide_" + c.Digest(wideView())
	buckets := p.State().Views["wide"].Buckets
	for name, loss := range map[string]struct {
		sql   string
		wrote int
	}{
		"some rows of a bucket": {fmt.Sprintf("DELETE FROM %s WHERE _bucket = %s AND time < addMinutes(_bucket, 30)",
			wide, bucketSQL(buckets[1].Bucket)), 1},
		"two buckets": {fmt.Sprintf("DELETE FROM %s WHERE _bucket >= %s AND _bucket < %s", wide,
			bucketSQL(buckets[2].Bucket), bucketSQL(buckets[4].Bucket)), 2},
		"one value": {fmt.Sprintf("ALTER TABLE %s UPDATE _events = _events + 1 WHERE _bucket = %s "+
			"SETTINGS mutations_sync = 2", wide, bucketSQL(buckets[1].Bucket)), 1},
		"the table": {"DROP TABLE " + wide, len(buckets)},
	} {
		if err := w.db.Exec(t.Context(), loss.sql); err != nil {
			t.Fatal(name, err)
		}
		if got := w.recompute(p); !got.Nothing {
			t.Errorf("%s: a run without Suspect published %+v, want nothing", name, got)
		}
		p.Suspect()
		before := p.State()
		if got := w.recompute(p); got.Nothing || got.Events != 0 || got.Buckets != loss.wrote {
			t.Errorf("%s: got %+v, want %d buckets written again", name, got, loss.wrote)
		}
		for i, b := range p.State().Views["slim"].Buckets {
			if b != before.Views["slim"].Buckets[i] {
				t.Errorf("%s: the other view was written again, want it left as it was", name)
			}
		}
		w.checkWide(name)
		if got := w.recompute(p); !got.Nothing {
			t.Errorf("%s: nothing is missing any more, but the run published %+v", name, got)
		}
	}
	if err := w.db.Exec(t.Context(), "TRUNCATE TABLE "+wide); err != nil {
		t.Fatal(err)
	}
	p = w.publisher(c, nil)
	p.Suspect()
	if got := w.recompute(p); got.Buckets != len(buckets) {
		t.Errorf("a new process published %+v, want %d buckets written again", got, len(buckets))
	}
	w.checkWide("restarted")
}

// TestLostRowsWithoutSuspicion loses rows while no reader of the publisher's process asks for them. A run that is due
// to count finds them, and a run before that does not count.
func TestLostRowsWithoutSuspicion(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView())
	w.land("flight", randomEvents(r, 400, epoch.UnixMicro(), 5)...)
	p := w.publisher(c, nil)
	w.recompute(p)
	if err := w.db.Exec(t.Context(), "TRUNCATE TABLE cells_wide_"+c.Digest(wideView())); err != nil {
		t.Fatal(err)
	}
	w.advance(p.cfg.CheckEvery - time.Second)
	if got := w.recompute(p); !got.Nothing {
		t.Errorf("a run before the next check published %+v", got)
	}
	w.advance(time.Second)
	if got := w.recompute(p); got.Buckets != len(p.State().Views["wide"].Buckets) {
		t.Errorf("got %+v, want every bucket written again", got)
	}
	w.checkWide("checked")
}
