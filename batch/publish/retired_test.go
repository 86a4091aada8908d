package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/window"
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

// checkMissing checks how many events the newest publication says that a view lacks, by bucket and tenant. The events
// of each of their objects are in one bucket, so the numbers are not only bounds.
func (w *world) checkMissing(p *Publisher, view string, missing ...event) {
	w.t.Helper()
	want := map[bucketTenant]int64{}
	for _, e := range missing {
		want[bucketTenant{window.Floor(e.time, time.Hour), e.tenant}]++
	}
	if diff := cmp.Diff(sortedEvents(want), p.State().Views[view].Retired); diff != "" {
		w.t.Errorf("view %s: events that it lacks (-want +published): %s", view, diff)
	}
}

// TestRetired checks that retired objects are not taken for lost (C8), that what was published of their
// buckets stays as it is, and that a view which is declared or changed later counts the events that are left. A
// publication says how many events a view lacks.
func TestRetired(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	open := func(views ...*catalog.View) *Publisher {
		p := w.publisher(catalogOf(views...), nil)
		p.cfg.BaseEvery = 3 // Bases and deltas take turns.
		return p
	}
	p := open(slimView())
	first := randomEvents(r, 20, epoch.UnixMicro(), 1)
	w.land("flight", first...)
	w.recompute(p)
	before := p.State().Views["slim"]
	w.checkMissing(p, "slim")
	w.retire("flight")

	// More events land in the retired bucket, and some in a new bucket.
	late := randomEvents(r, 20, epoch.UnixMicro(), 1)
	w.land("flight", late...)
	w.land("flight", randomEvents(r, 20, epoch.Add(24*time.Hour).UnixMicro(), 1)...)
	w.recompute(p)
	w.checkMissing(p, "slim", late...)
	more := randomEvents(r, 5, epoch.UnixMicro(), 1)
	w.land("flight", more...)
	w.recompute(p)
	late = append(late, more...)
	w.checkMissing(p, "slim", late...)
	after := p.State().Views["slim"]
	if len(after.Buckets) != 2 || after.Buckets[0] != before.Buckets[0] {
		t.Errorf("buckets were %v and are %v; want the first as it was and one more", before.Buckets, after.Buckets)
	}

	// A new view needs all buckets, but only objects that still exist may be opened.
	p = open(slimView(), wideView())
	w.recompute(p)
	w.checkMissing(p, "slim", late...)
	w.checkMissing(p, "wide", first...)
	if got := p.State().Views["wide"].Buckets; len(got) != 2 {
		t.Errorf("the new view has buckets %v, want two", got)
	}

	// A changed view is a new view.
	changed := slimView()
	changed.Measures = changed.Measures[:1]
	p = open(changed, wideView())
	w.recompute(p)
	w.checkMissing(p, "slim", first...)

	// An object that was never published may be retired too. A crash may leave a retired object in the
	// store, where a collection removes it.
	last := randomEvents(r, 5, epoch.Add(48*time.Hour).UnixMicro(), 1)
	w.land("flight", last...)
	left := len(w.objects)
	w.advance(time.Second)
	w.records.Bodies[(&record.Retired{Type: "flight", Before: w.now}).Key()] = []byte("{}")
	w.advance(25 * time.Hour)
	w.recompute(p)
	w.checkMissing(p, "wide", append(first, last...)...)
	if got := w.collect(p); got.Objects != int64(left) || len(w.objects) != 0 {
		t.Errorf("collected %d retired objects, want %d", got.Objects, left)
	}
}
