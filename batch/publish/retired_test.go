package publish

import (
	"strings"
	"testing"
	"time"

	"recount/schemas/record"
)

// retire creates a record that retires all objects that have landed, and deletes them.
func (w *world) retire(eventType string) {
	w.t.Helper()
	w.advance(time.Second)
	r := &record.Retired{Type: eventType, Before: w.now, Reason: "test"}
	raw, err := r.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.records.Bodies[r.Key()] = raw
	for key := range w.objects {
		if strings.HasPrefix(key, "data/"+eventType+"/") {
			delete(w.objects, key)
		}
	}
}

// TestRetired checks that retired objects are not taken for lost (C8), that what was published of their
// buckets stays as it is, and that a view which is declared later counts the events that are left.
func TestRetired(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(slimView()), nil)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.recompute(p)
	before := p.State().Views["slim"]
	w.retire("flight")

	// More events land in the retired bucket, and some in a new bucket.
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.land("flight", randomEvents(r, 20, epoch.Add(24*time.Hour).UnixMicro(), 1)...)
	w.recompute(p)
	after := p.State().Views["slim"]
	if len(after.Buckets) != 2 || after.Buckets[0] != before.Buckets[0] {
		t.Errorf("buckets were %v and are %v; want the first as it was and one more", before.Buckets, after.Buckets)
	}

	// A new view needs all buckets, but only objects that still exist may be opened.
	p = w.publisher(catalogOf(slimView(), wideView()), nil)
	w.recompute(p)
	if got := p.State().Views["wide"].Buckets; len(got) != 2 {
		t.Errorf("the new view has buckets %v, want two", got)
	}

	// An object that was never published may be retired too. A crash may leave a retired object in the
	// store, where a collection removes it.
	w.land("flight", randomEvents(r, 5, epoch.Add(48*time.Hour).UnixMicro(), 1)...)
	left := len(w.objects)
	w.advance(time.Second)
	w.records.Bodies[(&record.Retired{Type: "flight", Before: w.now}).Key()] = []byte("{}")
	w.advance(25 * time.Hour)
	w.recompute(p)
	if got := w.collect(p); got.Objects != int64(left) || len(w.objects) != 0 {
		t.Errorf("collected %d retired objects, want %d", got.Objects, left)
	}
}
