package declaration

import (
	"fmt"
	"strings"
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

// TestEditOfDecimals: an event type may give a decimal field another type of number while a view has a condition on it,
// if the condition's number is one of that type.
func TestEditOfDecimals(t *testing.T) {
	t.Parallel()
	c := &catalog.Catalog{Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"t": {Name: "t",
			Fields: []catalog.Field{{Name: "a", Type: "decimal(18,2)"}}}},
		Views: map[string]*catalog.View{"v": {Name: "v", Event: "t", Cell: time.Minute,
			Where:    []catalog.Filter{{Field: "a", Op: catalog.In, Values: []any{int64(150), int64(-500)}}},
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}}}
	for declared, want := range map[string]string{
		"float64": "[1.5 -5]", "decimal(18,3)": "[1500 -5000]", "string": "[1.50 -5.00]",
		"int64": "views.v.where.0: value: 1.5 is not int64",
		"bool":  `views.v.where.0: value: the text "1.50" is not bool`,
	} {
		form, err := ParseJSON([]byte(`{"fields": {"a": "` + declared + `"}}`))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if edited, err := Edit(c, Events, "t", form); err == nil {
			got = fmt.Sprint(edited.Views["v"].Where[0].Values)
		} else {
			got = strings.Split(err.Error(), "\n")[0]
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", declared, got, want)
		}
	}
	c.Views["v"].Where[0].Values[0] = int64(700)
	form, _ := ParseJSON([]byte(`{"fields": {"a": "int64"}}`))
	if edited, err := Edit(c, Events, "t", form); err != nil || edited.Views["v"].Where[0].Values[0] != int64(7) {
		t.Errorf("got %v, %v", edited, err)
	}
}
