package verify

import (
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

// TestIsCounted: a publication must have the rows of a type's bucket if a view is filled down to it that counted the
// type then. A view that has been declared for the type since says nothing.
func TestIsCounted(t *testing.T) {
	c := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"hit": {Name: "hit"}}}
	c.Views = map[string]*catalog.View{"v": {Name: "v", Event: "hit", Cell: time.Hour,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}}
	now := c.Digest(c.Views["v"])
	current := record.ViewState{Digest: now, Reading: record.CurrentReading}
	filling := current
	filling.Fill = &record.Fill{From: 2 * int64(time.Hour/time.Microsecond)}
	other := record.ViewState{Digest: "before", Reading: record.CurrentReading}
	const bucket = int64(time.Hour / time.Microsecond)
	for name, is := range map[string]struct {
		view  record.ViewState
		types []record.BucketCount
		want  bool
	}{
		"filled":              {current, nil, true},
		"not filled so far":   {filling, nil, false},
		"of another type":     {other, nil, false},
		"its counts are kept": {other, []record.BucketCount{{Bucket: bucket}}, true},
	} {
		st := &record.State{Views: map[string]record.ViewState{"v": is.view},
			Types: map[string][]record.BucketCount{"hit": is.types}}
		if got := (&recomputation{e: &Evidence{Catalog: c}}).isCounted(st, "hit", bucket); got != is.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
