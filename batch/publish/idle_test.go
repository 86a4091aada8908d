package publish

import (
	"testing"
	"time"
)

// TestNothingIsHeldBack checks that publications which are kept for their number alone do not keep
// the log for ever where nothing lands any more. A full log could never be trimmed, so nothing
// could ever land again.
func TestNothingIsHeldBack(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(slimView()), nil)
	for range 3 {
		w.land("flight", randomEvents(r, 5, epoch.UnixMicro(), 2)...)
		w.recompute(p)
	}
	newest := p.State().H
	idle := func() {
		t.Helper()
		n := p.State().N
		if got := w.recompute(p); !got.Nothing || p.State().N != n {
			t.Errorf("an idle run published %+v, want nothing", got)
		}
	}
	idle() // Readers may hold the older publications.
	w.advance(2*p.cfg.LongestQuery - time.Second)
	idle()
	w.advance(2 * time.Second)
	for range 2 {
		if got := w.recompute(p); got.Nothing || got.Rows > 0 || got.Buckets > 0 {
			t.Errorf("got %+v, want a publication without rows: the older ones keep the log", got)
		}
	}
	w.advance(2*p.cfg.LongestQuery + time.Second)
	idle()
	if got := p.OldestKept().H; got[0] != newest[0] || got[1] != newest[1] {
		t.Errorf("the oldest kept publication has H %v, want that of the newest, %v", got, newest)
	}
	if kept := p.Kept(); len(kept) != 3 {
		t.Errorf("kept %v, want three", kept)
	}
	if again := w.publisher(catalogOf(slimView()), nil); again.OldestKept().N != p.OldestKept().N {
		t.Errorf("another process keeps publications from %d on, this one from %d", again.OldestKept().N,
			p.OldestKept().N)
	}
}
