package main

import "testing"

// TestShownJSON shows values as a person reads them, also what HTML would escape.
func TestShownJSON(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{"-": nil, "true": true, `["<a>&"]`: []any{"<a>&"}} {
		if got := shownJSON(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
