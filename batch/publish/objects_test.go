package publish

import (
	"errors"
	"slices"
	"testing"

	"recount/schemas/record"
)

// TestObjects: the manifest of a publication has the objects that landed before it, and stays the same when more land.
// Retired objects leave it, and without a commit record there is none.
func TestObjects(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(slimView()), nil)
	objects := func(eventType string, n uint64) (keys []string) {
		s, err := p.StateAt(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		list, err := p.Objects(t.Context(), s, eventType)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			if o.Type != eventType || w.objects[o.Key] == nil {
				t.Errorf("%s %s is listed as %s", o.Type, o.Key, eventType)
			}
			keys = append(keys, o.Key)
		}
		return keys
	}
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.land("other", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	w.recompute(p)
	first := objects("flight", 1)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 1)...)
	if got := objects("flight", 1); len(got) != partitions || !slices.Equal(got, first) {
		t.Errorf("publication 1 counts %v, and later %v", first, got)
	}
	w.recompute(p)
	if got := objects("flight", 2); len(got) != 2*partitions {
		t.Errorf("publication 2 counts %v, want %d objects", got, 2*partitions)
	}
	if got := objects("other", 2); len(got) != partitions {
		t.Errorf("of another type: %v", got)
	}
	w.retire("flight")
	if got := objects("flight", 2); len(got) != 0 {
		t.Errorf("retired objects are listed: %v", got)
	}
	last := w.chains[0].Segments[len(w.chains[0].Segments)-1]
	w.chains[0] = record.NewChain(0)
	for start := uint64(1); start < last.Start; start++ {
		raw := w.records.Bodies[w.chains[0].NextKey()]
		if _, err := w.chains[0].Extend(raw); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Objects(t.Context(), p.State(), "flight"); !errors.Is(err, record.ErrMissing) {
		t.Errorf("without the last commit record: %v, want ErrMissing", err)
	}
}
