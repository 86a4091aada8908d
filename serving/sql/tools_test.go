package sql

import (
	_ "embed" // of statements
	"strings"
	"testing"
)

// toolStatements are what tools send: as it was recorded from clickhouse-connect 1.12.0 and JDBC 0.10.0, and for
// Grafana and Metabase as their sources make it, with the macros of Grafana expanded. A block has the tool after --,
// parameters of the URL after ?, the statement, and after = what is in the answer.
//
//go:embed testdata/tools.txt
var toolStatements string

// TestStatementsOfTools runs what tools send.
func TestStatementsOfTools(t *testing.T) {
	t.Parallel()
	at := filled(t).openDoor()
	blocks := strings.Split(toolStatements, "\n\n")
	for _, block := range blocks {
		tool, rest, _ := strings.Cut(block, "\n")
		parameters := ""
		if after, found := strings.CutPrefix(rest, "? "); found {
			parameters, rest, _ = strings.Cut(after, "\n")
		}
		statement, want, found := strings.Cut(rest, "\n=")
		want = strings.TrimSpace(want)
		got := ask(t, at, parameters, statement)
		if !found || !strings.Contains(got, want) ||
			strings.HasPrefix(got, "Code: ") != strings.HasPrefix(want, "Code: ") {
			t.Errorf("%s: got %.400q, want %q", tool, got, want)
		}
	}
	if len(blocks) < 45 {
		t.Errorf("only %d statements", len(blocks))
	}
}
