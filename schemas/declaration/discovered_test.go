package declaration

import (
	"testing"
	"time"

	"recount/schemas/catalog"
)

// TestEditKeepsDiscovered: a view that discovery has declared stays the same view when something else is declared, so
// its history is not computed again.
func TestEditKeepsDiscovered(t *testing.T) {
	t.Parallel()
	for _, bucket := range []time.Duration{time.Hour, 90 * time.Second} {
		c := &catalog.Catalog{Bucket: bucket, Events: map[string]*catalog.EventType{},
			Views: map[string]*catalog.View{}}
		found, _ := c.Discover("page.viewed", []catalog.Found{{Path: []string{"page"}, Type: catalog.String}}, 10)
		form, err := ParseJSON([]byte(`{"fields": {"price": "float64"}}`))
		if err != nil {
			t.Fatal(err)
		}
		edited, err := Edit(found, Events, "other", form)
		if err != nil {
			t.Fatal(err)
		}
		was := found.Digest(found.Views["page_viewed"])
		if is := edited.Digest(edited.Views["page_viewed"]); is != was {
			t.Errorf("buckets of %s: %+v became %+v", bucket, found.Views["page_viewed"], edited.Views["page_viewed"])
		}
	}
}
