package publish

import (
	"strings"
	"testing"
	"time"

	"recount/schemas/record"
)

// retire lets the objects go that landed until now, and deletes them.
func (w *world) retire(typ string) {
	w.t.Helper()
	w.pass(time.Second)
	r := &record.Retired{Type: typ, Before: w.now, Reason: "test"}
	raw, err := r.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.records[r.Key()] = raw
	for key := range w.objects {
		if strings.HasPrefix(key, "data/"+typ+"/") {
			delete(w.objects, key)
		}
	}
}

// TestRetired: objects that are gone on purpose are not missed (C8), what was published of
// their buckets stays as it is, and a view that is declared later counts what is left.
func TestRetired(t *testing.T) {
	t.Parallel()
	w, r := start(t)
	p := w.publisher(catalogOf(slimView()), nil)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.recompute(p)
	before := p.State().Views["slim"]
	w.retire("flight")

	// More of the retired bucket, and a new one.
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.land("flight", randomEvents(r, 20, epoch.Add(24*time.Hour).UnixMicro(), 1)...)
	w.recompute(p)
	after := p.State().Views["slim"]
	if len(after.Buckets) != 2 || after.Buckets[0] != before.Buckets[0] {
		t.Errorf("buckets were %v and are %v", before.Buckets, after.Buckets)
	}

	// All buckets of a new view: only objects that are there are opened.
	p = w.publisher(catalogOf(slimView(), wideView()), nil)
	w.recompute(p)
	if got := p.State().Views["wide"].Buckets; len(got) != 2 {
		t.Errorf("the new view has buckets %v", got)
	}

	// An object that landed but was never published may be retired too, and one that a
	// crash has left behind its retirement is collected.
	w.land("flight", randomEvents(r, 5, epoch.Add(48*time.Hour).UnixMicro(), 1)...)
	left := len(w.objects)
	w.pass(time.Second)
	w.records[(&record.Retired{Type: "flight", Before: w.now}).Key()] = []byte("{}")
	w.pass(25 * time.Hour)
	w.recompute(p)
	if got := w.collect(p); got.Objects != int64(left) || len(w.objects) != 0 {
		t.Errorf("collected %d of %d retired objects", got.Objects, left)
	}
}
