package record

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
)

func generation() *Generation {
	hit := &catalog.EventType{Name: "hit", Fields: []catalog.Field{{Name: "at", Type: catalog.Timestamp},
		{Name: "bot", Type: catalog.Bool}, {Name: "cost", Type: catalog.Float64}, {Name: "page", Type: catalog.String},
		{Name: "size", Type: catalog.Int64}}}
	hits := &catalog.View{Name: "hits", Event: "hit", Dimensions: []string{"page"}, Cell: time.Minute,
		Where: []catalog.Filter{
			{Field: "size", Op: catalog.In, Values: []any{int64(math.MaxInt64), int64(-1)}},
			{Field: "cost", Op: catalog.Lt, Values: []any{float64(3)}},
			{Field: "cost", Op: catalog.Ge, Values: []any{-1e300}},
			{Field: "at", Op: catalog.Gt, Values: []any{int64(1_700_000_000_000_001)}},
			{Field: "bot", Op: catalog.Eq, Values: []any{false}},
			{Field: "page", Op: catalog.Ne, Values: []any{"<1>"}},
			{Field: "subject", Op: catalog.Exists, Values: []any{true}}},
		Measures: []catalog.Measure{{Name: "hits", Kind: catalog.Count},
			{Name: "size", Kind: catalog.Sum, Field: "size"}}}
	refused := &catalog.View{Name: "refused", Event: deadletter.Type, Cell: time.Hour,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	return &Generation{N: 2, Previous: "00ff", Bucket: time.Hour, By: ByFile, Code: "v1.2.3", Attempt: "a1",
		Created: made,
		Declarations: Declarations{Events: map[string]*catalog.EventType{"hit": hit},
			Views: map[string]*catalog.View{"hits": hits, "refused": refused}},
		File: Declarations{Events: map[string]*catalog.EventType{"hit": hit},
			Views: map[string]*catalog.View{"hits": hits}}}
}

// TestGenerationKeepsEveryType: what was declared comes back with the same Go types, and so with the same digests.
func TestGenerationKeepsEveryType(t *testing.T) {
	t.Parallel()
	want := generation()
	got, err := DecodeGeneration(encoded(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	before := want.Catalog()
	after := got.Catalog()
	for name, v := range before.Views {
		if before.Digest(v) != after.Digest(after.Views[name]) {
			t.Errorf("view %s has another digest after it was stored", name)
		}
	}
	if after.Events[deadletter.Type] == nil {
		t.Error("the catalog of a generation lacks recount's own type")
	}
	if diff := cmp.Diff(got.Declarations, DeclarationsOf(after)); diff != "" {
		t.Errorf("the declarations of the catalog differ:\n%s", diff)
	}
}

func TestGenerationIsChecked(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Generation){
		"no number":            func(g *Generation) { g.N = 0 },
		"first with previous":  func(g *Generation) { g.N = 1 },
		"second without":       func(g *Generation) { g.Previous = "" },
		"no author":            func(g *Generation) { g.By = "" },
		"no attempt":           func(g *Generation) { g.Attempt = "" },
		"discovered nothing":   func(g *Generation) { g.Discovered = []string{"gone"} },
		"undecided of nothing": func(g *Generation) { g.Undecided = map[string][][]string{"gone": {{"a"}}} },
		"an odd bucket":        func(g *Generation) { g.Bucket = 7 * time.Minute },
		"another name":         func(g *Generation) { g.Events["hit"].Name = "hot" },
		"no declaration":       func(g *Generation) { g.File.Views["gone"] = nil },
		"a type of recount":    func(g *Generation) { g.Events[deadletter.Type] = deadletter.EventType() },
		"a view without type":  func(g *Generation) { g.Views["refused"].Event = "nothing" },
		"a field twice":        func(g *Generation) { g.Events["hit"].Fields[1].Name = "at" },
		"a value of no number": func(g *Generation) { g.Views["hits"].Where[0].Values[0] = "many" },
	} {
		g := generation()
		spoil(g)
		if _, err := g.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	raw := string(encoded(t, generation()))
	if _, err := DecodeGeneration([]byte(strings.Replace(raw, "9223372036854775807", "9223372036854775808",
		1))); !errors.Is(err, ErrInvalid) {
		t.Errorf("a number beyond its type: got %v", err)
	}
	g := generation()
	if g.Follows(1, "00ff") != nil || g.Follows(1, "00fe") == nil || g.Follows(2, "00ff") == nil {
		t.Error("a generation continues the one before it, and no other")
	}
	for _, key := range []string{"catalog/1.json", "catalog/00000000000000000001",
		"publish/00000000000000000001.json"} {
		if n, err := GenerationNumber(key); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %d, %v", key, n, err)
		}
	}
	if n, err := GenerationNumber(GenerationKey(7)); n != 7 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
