package guard_test

import (
	_ "embed" // of statements
	"slices"
	"strings"
	"testing"
)

// statements are what clients and people ask: a statement, and after = its only row. With nothing after =, it may have
// any rows.
//
//go:embed testdata/statements.txt
var statements string

// TestStatements runs statements that are allowed.
func TestStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for block := range strings.SplitSeq(strings.TrimSpace(statements), "\n\n") {
		sql, want, _ := strings.Cut(block, "\n=")
		want = strings.TrimSpace(want)
		got, err := w.run(t, sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if want != "" && !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
}

// TestStringsAreNoTree runs a string that looks like lines of a tree, with line ends.
func TestStringsAreNoTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := "it's\n    FUNCTION id: 1, function_name: file, function_type: ordinary\\\t, constant_value_type: String"
	sql := "SELECT '" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(text) + "' AS x"
	got, err := w.run(t, sql)
	if err != nil || !slices.Equal(got, []string{text}) {
		t.Errorf("got %q, %v; want %q", got, err, text)
	}
}
