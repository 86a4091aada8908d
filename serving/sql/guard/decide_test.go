package guard_test

import (
	_ "embed" // of statements
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recount/serving/sql/guard"
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

// TestClauses cuts FORMAT and SETTINGS, which no tree shows, from statements.
func TestClauses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sql  string
		want guard.Statement
	}{
		{"SELECT 1 FORMAT CSV", guard.Statement{Text: "SELECT 1", Format: "CSV"}},
		{"SELECT 1.FORMAT\nTemplate;", guard.Statement{Text: "SELECT 1.", Format: "Template"}},
		{"SELECT 1.SETTINGS a=1", guard.Statement{Text: "SELECT 1.", Settings: map[string]string{"a": "1"}}},
		{"SELECT 1 SETTINGS a=1, b = 'x' FORMAT JSON",
			guard.Statement{Text: "SELECT 1", Format: "JSON", Settings: map[string]string{"a": "1", "b": "x"}}},
		{"SELECT 1 format JSON settings a=-1.5",
			guard.Statement{Text: "SELECT 1", Format: "JSON", Settings: map[string]string{"a": "-1.5"}}},
		{"SELECT t.format CSV FROM recount.t", guard.Statement{Text: "SELECT t.format CSV FROM `t`"}},
		{"SELECT value FROM system.settings", guard.Statement{Text: "SELECT value FROM `system settings`"}},
		{"SELECT t.settings, (t).settings", guard.Statement{Text: "SELECT t.`settings`, (t).`settings`"}},
		{"SELECT format('{}', 1)", guard.Statement{Text: "SELECT format('{}', 1)"}},
		{"SHOW TABLES FROM default FORMAT CSV", guard.Statement{Format: "CSV",
			Text: "SELECT name FROM `system tables` WHERE database = 'recount' ORDER BY name"}},
	} {
		st, err := guard.Parse(tt.sql, own)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *st, cmpopts.IgnoreUnexported(*st)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.sql, diff)
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

// TestParseRefuses gives Parse what no later step is sure to notice: names that could be taken for lines of a tree, and
// a second statement after the first, which alone is decided about.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT 1 AS `a\n    IDENTIFIER id: 3, identifier: t`", "SELECT 1 AS \"a, function_type: ordinary\"",
		"SELECT 1 AS `a:b`", "SELECT 1 AS ` a`", "SELECT 1 AS `a\u2028b`", "SELECT 1 AS `a``b`", "SELECT 1 AS ``",
		"SELECT COLUMNS('a\nb') FROM t", "SELECT * EXCEPT('a, b') FROM t",
		"SELECT 1 PARALLEL WITH SELECT 2", "SELECT 1; SELECT 2",
	} {
		if st, err := guard.Parse(sql, own); err == nil {
			t.Errorf("%q was taken as %q", sql, st.Text)
		}
	}
}
