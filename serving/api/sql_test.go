package api

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/access"
	"recount/schemas/query"
)

// TestParameterTexts writes values as ClickHouse reads them: a text in the escaped form of TabSeparated, and a list
// with quotes and without that form around it.
func TestParameterTexts(t *testing.T) {
	t.Parallel()
	got, err := parameterTexts([]byte(`{"text":"a\tb\\c'd","list":["b\\c","d'e",null,7,true,"x\ny"],` +
		`"no":null,"n":1e3}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"text": `a\tb\\c'd`, "list": `['b\\c','d\'e',NULL,7,true,'x` + "\n" + `y']`, "no": `\N`,
		"n": "1e3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parameterTexts([]byte(`{"x":[["nested"]]}`)); err == nil {
		t.Error("a list in a list was taken")
	}
}

// TestAccuracyFor shows the events that wait, which are those of all tenants, to administrators alone.
func TestAccuracyFor(t *testing.T) {
	t.Parallel()
	members := func(scopes access.Scopes) []string {
		raw, err := accuracyFor(access.Principal{Scopes: scopes}, &query.Accuracy{PendingEvents: 7})
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(out))
	}
	all := members(access.AllScopes)
	others := members(access.Query)
	if want := slices.DeleteFunc(slices.Clone(all), func(m string) bool { return m == "pending_events" }); len(want) ==
		len(all) || !slices.Equal(others, want) {
		t.Errorf("administrators see %v and others %v", all, others)
	}
}
