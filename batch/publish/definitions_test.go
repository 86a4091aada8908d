package publish

import (
	"errors"
	"reflect"
	"testing"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/query"
)

// TestDefinitionsStay changes a view, removes another and changes a field's type. The definitions under which an
// earlier publication names them stay readable, values of filters included.
func TestDefinitionsStay(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	slim := slimView()
	slim.Dimensions = append(slim.Dimensions, "source", "subject")
	slim.Where = append(slim.Where, catalog.Filter{Field: "fare", Op: catalog.Ne, Values: []any{0.1}},
		catalog.Filter{Field: "delay", Op: catalog.Ne, Values: []any{int64(1<<60 + 1)}})
	before := catalogOf(wideView(), slim)
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	p := w.publisher(before, nil)
	w.recompute(p)
	first := p.State()
	changed := wideView()
	changed.Measures = changed.Measures[:2]
	p = w.publisher(catalogOf(changed), nil)
	w.recompute(p)
	for name, old := range first.Views {
		c, err := p.Definition(t.Context(), name, old.Digest)
		if err != nil {
			t.Errorf("view %s: %v", name, err)
			continue
		}
		v := c.Views[name]
		for _, digest := range before.Digests(before.Views[name]) {
			older, err := p.Definition(t.Context(), name, digest)
			if err != nil || older.Digest(older.Views[name]) != old.Digest {
				t.Errorf("view %s, under the digest %s: %v", name, digest, err)
			}
		}
		want := conversion.FieldsOf(before.Events[v.Event], v.Columns())
		if got := conversion.FieldsOf(c.Events[v.Event], v.Columns()); !reflect.DeepEqual(got, want) {
			t.Errorf("view %s reads the fields %+v, want %+v: source and subject are no fields", name, got, want)
		}
		if c.Digest(v) != old.Digest || len(v.Measures) != len(before.Views[name].Measures) {
			t.Errorf("view %s: got %+v", name, v)
		}
	}
	if _, err := p.Definition(t.Context(), "wide", "0123456789abcdef"); !errors.Is(err, query.ErrNoDefinition) {
		t.Errorf("an unknown definition: got %v, want query.ErrNoDefinition", err)
	}
	wide := definitionKey("wide", first.Views["wide"].Digest)
	w.records.Bodies[wide] = w.records.Bodies[definitionKey("slim", first.Views["slim"].Digest)]
	later := w.publisher(catalogOf(changed), nil) // p keeps what it has read.
	if _, err := later.Definition(t.Context(), "wide", first.Views["wide"].Digest); err == nil {
		t.Error("a definition under the key of another was accepted")
	}
}
