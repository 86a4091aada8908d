package generations

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

// declare returns a catalog of event types whose only field has one of two types. A name with version 0 is not
// declared.
func declare(versions map[string]int) *catalog.Catalog {
	c := record.Declarations{}.Catalog(time.Hour)
	for name, version := range versions {
		if version > 0 {
			c.Events[name] = &catalog.EventType{Name: name, Fields: []catalog.Field{{Name: fmt.Sprint("f", version),
				Type: catalog.String}}}
		}
	}
	return c
}

// versions is the reverse of declare.
func versions(c *catalog.Catalog) map[string]int {
	out := map[string]int{}
	for name, e := range record.DeclarationsOf(c).Events {
		n := 0
		fmt.Sscanf(e.Fields[0].Name, "f%d", &n)
		out[name] = n
	}
	return out
}

// TestApplyIsAThreeWayMerge plays files and requests in any order, against an oracle that keeps, for each name, what
// the file said last and what is stored.
func TestApplyIsAThreeWayMerge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}
		draw := rapid.MapOfN(rapid.SampledFrom(names), rapid.IntRange(0, 2), 0, 3)
		c, err := Open(t.Context(), Config{Bucket: time.Hour}, &recordtest.Memory{})
		if err != nil {
			t.Fatal(err)
		}
		applied := map[string]int{}
		stored := map[string]int{}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			next := draw.Draw(t, "declarations")
			if rapid.Bool().Draw(t, "request") {
				if _, err := c.Propose(t.Context(), func(*catalog.Catalog) (*catalog.Catalog, error) {
					return declare(next), nil
				}); err != nil {
					t.Fatal(err)
				}
				stored = next
			} else {
				decides := rapid.Bool().Draw(t, "decides")
				before := c.Current().N
				g, d, err := c.Apply(t.Context(), declare(next), decides)
				if err != nil {
					t.Fatal(err)
				}
				stored = maps.Clone(stored)
				conflicts := 0
				for _, name := range names {
					fileChanged := next[name] != applied[name]
					requestChanged := stored[name] != applied[name]
					switch {
					case next[name] == stored[name]:
						applied[name] = next[name]
					case fileChanged && (!requestChanged || decides):
						applied[name] = next[name]
						stored[name] = next[name]
					case fileChanged:
						conflicts++
					}
				}
				if len(d.Conflicts) != conflicts {
					t.Fatalf("%d conflicts, want %d: %+v", len(d.Conflicts), conflicts, d)
				}
				if again, _, err := c.Apply(t.Context(), declare(next), decides); err != nil || again.N != g.N {
					t.Fatalf("the same file once more makes generation %d after %d: %v", again.N, before, err)
				}
			}
			want := maps.Clone(stored)
			maps.DeleteFunc(want, func(_ string, version int) bool { return version == 0 })
			if diff := cmp.Diff(want, versions(c.Catalog())); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// TestApplyExplains: each difference says what it is about.
func TestApplyExplains(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Memory{})
	apply := func(file map[string]int) Difference {
		t.Helper()
		_, d, err := c.Apply(t.Context(), declare(file), false)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	apply(map[string]int{"file": 1, "both": 1, "request": 1, "gone": 1})
	if g := c.Current(); g.N != 1 || g.Record.By != record.ByFile {
		t.Fatalf("the first file made generation %d", g.N)
	}
	if _, err := c.Propose(t.Context(), func(*catalog.Catalog) (*catalog.Catalog, error) {
		return declare(map[string]int{"file": 1, "both": 2, "request": 2, "gone": 1, "added": 1}), nil
	}); err != nil {
		t.Fatal(err)
	}
	d := apply(map[string]int{"file": 2, "both": 0, "request": 1, "new": 1})
	name := func(edits []Edit) (out []string) {
		for _, e := range edits {
			out = append(out, e.String())
		}
		slices.Sort(out)
		return out
	}
	for _, x := range []struct{ got, want []string }{
		{name(d.Edits), []string{"add events.new", "change events.file", "remove events.gone"}},
		{name(d.Kept), []string{"change events.request", "remove events.added"}},
		{name(d.Conflicts), []string{"remove events.both"}},
	} {
		if diff := cmp.Diff(x.want, x.got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestFileOverDiscovery: a file decides about what events have declared. What discovery has declared beside it stays.
func TestFileOverDiscovery(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Memory{})
	for _, name := range []string{"x", "y"} {
		if _, err := c.Propose(t.Context(), func(newest *catalog.Catalog) (*catalog.Catalog, error) {
			next, _ := newest.Discover(name, []catalog.Found{{Path: []string{"f"}, Type: catalog.Int64}}, 10)
			return next, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	file := record.Declarations{}.Catalog(time.Hour)
	file.Events["x"] = &catalog.EventType{Name: "x", Fields: []catalog.Field{{Name: "country", Type: catalog.String},
		{Name: "f", Type: catalog.Float64}}}
	file.Views["x"] = &catalog.View{Name: "x", Event: "x", Cell: time.Minute, Dimensions: []string{"country"},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	g, d, err := c.Apply(t.Context(), file, false)
	if err != nil || d.Refused != nil || len(d.Conflicts) > 0 || len(d.Edits) != 2 {
		t.Fatalf("edits %v, conflicts %v, refused %v, error %v", d.Edits, d.Conflicts, d.Refused, err)
	}
	if diff := cmp.Diff(file.Events["x"].Fields, g.Catalog.Events["x"].Fields); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(g.Catalog.Views["x"].Dimensions, []string{"country"}) || g.Catalog.Events["y"] == nil ||
		g.Catalog.Views["y"] == nil || g.Catalog.Discovered["x"] {
		t.Errorf("the catalog is %+v", g.Catalog)
	}
}

// TestApplyRefusesNonsense: a file whose changes do not fit what requests have changed changes nothing, and a start
// goes on.
func TestApplyRefusesNonsense(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Memory{})
	if _, _, err := c.Apply(t.Context(), declare(map[string]int{"hit": 1}), false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Propose(t.Context(), func(current *catalog.Catalog) (*catalog.Catalog, error) {
		next := record.DeclarationsOf(current).Complete().Catalog(time.Hour)
		next.Views["hits"] = &catalog.View{Name: "hits", Event: "hit", Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
		return next, nil
	}); err != nil {
		t.Fatal(err)
	}
	before := c.Current()
	g, d, err := c.Apply(t.Context(), declare(map[string]int{"other": 1}), false)
	if err != nil || d.Refused == nil || g != before {
		t.Errorf("a file without the type of a view: generation %d, %v, refused for %v", g.N, err, d.Refused)
	}
	if _, _, err := c.Apply(t.Context(), declare(map[string]int{"other": 1}), true); err == nil {
		t.Error("a file that decides and makes no valid catalog was not refused")
	}
}

// priced declares an event type with a field of a type, and views, each with a condition that has the value. A nil
// value makes a view without a condition.
func priced(t *testing.T, fieldType catalog.FieldType, conditions map[string]any) *catalog.Catalog {
	t.Helper()
	events := map[string]*catalog.EventType{"order": {Name: "order", Fields: []catalog.Field{
		{Name: "price", Type: fieldType}}}}
	views := map[string]*catalog.View{}
	for name, value := range conditions {
		v := &catalog.View{Name: name, Event: "order", Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
		if value != nil {
			v.Where = []catalog.Filter{{Field: "price", Op: catalog.Ge, Values: []any{value}}}
		}
		views[name] = v
	}
	c, err := declaration.Catalog(time.Hour, events, views)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConditionsKeepTheirMeaning: a condition is what was written, whatever type the file or a request gives its field
// meanwhile. A step is of the file, of the file that decides, or of a request.
func TestConditionsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	type conditions = map[string]any
	type step struct {
		by         string
		fieldType  catalog.FieldType
		conditions conditions
	}
	for name, test := range map[string]struct {
		steps   []step
		want    conditions // of the last generation
		refused bool       // the last step
	}{
		"int64 to decimal": {[]step{{"file", "int64", nil}, {"request", "int64", conditions{"w": 5}},
			{"file", "decimal(18,2)", nil}}, conditions{"w": int64(500)}, false},
		"another scale": {[]step{{"file", "decimal(18,2)", nil}, {"request", "decimal(18,2)", conditions{"w": "12.50"}},
			{"file", "decimal(18,3)", nil}}, conditions{"w": int64(12500)}, false},
		"a view of the file under the type of a request": {[]step{{"file", "decimal(18,2)", nil},
			{"request", "decimal(18,3)", nil}, {"file", "decimal(18,2)", conditions{"w": "12.50"}}},
			conditions{"w": int64(12500)}, false},
		"a view in conflict": {[]step{{"file", "decimal(18,2)", conditions{"w": "1"}},
			{"request", "decimal(18,2)", conditions{"w": "12.50"}}, {"file", "decimal(18,3)", conditions{"w": "2"}}},
			conditions{"w": int64(12500)}, false},
		"the same units of another type": {[]step{{"file", "decimal(18,2)", conditions{"w": "12.50"}},
			{"file", "decimal(18,3)", conditions{"w": "1.250"}}}, conditions{"w": int64(1250)}, false},
		"back to int64": {[]step{{"file", "decimal(18,2)", nil}, {"request", "decimal(18,2)", conditions{"w": "12.50"}},
			{"decides", "int64", nil}}, conditions{"w": int64(1250)}, true},
		"a whole number back to int64": {[]step{{"file", "decimal(18,2)", nil},
			{"request", "decimal(18,2)", conditions{"w": "12.00"}}, {"file", "int64", nil}}, conditions{"w": int64(12)},
			false},
		"float64 to decimal": {[]step{{"file", "float64", nil}, {"request", "float64", conditions{"w": 12.5}},
			{"file", "decimal(18,2)", nil}}, conditions{"w": int64(1250)}, false},
		"int64 to timestamp": {[]step{{"file", "int64", nil}, {"request", "int64", conditions{"w": 5}},
			{"file", "timestamp", nil}}, conditions{"w": int64(5)}, true},
		// What the file said of w does not fit its new type, and stays what it has said until the operator decides.
		"no value of the new type": {[]step{{"file", "float64", conditions{"w": 5.5}},
			{"request", "float64", conditions{"w": nil}}, {"file", "int64", conditions{"w": 5}},
			{"decides", "int64", conditions{"w": 6}}}, conditions{"w": int64(6)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := &recordtest.Memory{}
			c := open(t, records)
			var refused error
			for _, s := range test.steps {
				declared := priced(t, s.fieldType, s.conditions)
				var err error
				if s.by == "request" {
					_, err = c.Propose(t.Context(), func(*catalog.Catalog) (*catalog.Catalog, error) {
						return declared, nil
					})
				} else {
					var d Difference
					_, d, err = c.Apply(t.Context(), declared, s.by == "decides")
					refused = d.Refused
				}
				if err != nil && refused == nil {
					t.Fatal(err)
				}
			}
			got := conditions{}
			for name, v := range open(t, records).Catalog().Views {
				got[name] = nil
				if len(v.Where) > 0 {
					got[name] = v.Where[0].Values[0]
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" || (refused != nil) != test.refused {
				t.Errorf("refused for %v (-want +got): %s", refused, diff)
			}
		})
	}
}

// TestKeptUnderAnotherType: what the file says of a view is the same after the type of the field has changed, so only
// the request has changed the view.
func TestKeptUnderAnotherType(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Memory{})
	if _, _, err := c.Apply(t.Context(), priced(t, "decimal(18,2)", map[string]any{"w": "1"}), false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Propose(t.Context(), func(*catalog.Catalog) (*catalog.Catalog, error) {
		return priced(t, "decimal(18,2)", map[string]any{"w": "12.50"}), nil
	}); err != nil {
		t.Fatal(err)
	}
	file := priced(t, "decimal(18,3)", map[string]any{"w": "1"})
	for range 2 {
		_, d, err := c.Apply(t.Context(), file, false)
		if err != nil || len(d.Kept) != 1 || len(d.Conflicts) != 0 {
			t.Fatalf("%v, %+v; want a view that is kept", err, d)
		}
	}
}
