package eventfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
)

// ids writes a file and returns the ids that its rows get without a column of ids.
func ids(t *testing.T, path, content string, m Mapping) (out []string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, path, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range got {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e.ID)
	}
	return out
}

// TestIDs checks the ids of rows without a column of ids. A row keeps its id when its file is moved or gets more rows.
// Another row in a file of the same name has another id.
func TestIDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	monday := filepath.Join(dir, "monday", "ev.csv")
	tuesday := filepath.Join(dir, "tuesday", "ev.csv")
	const rows = "page,ms\n/,1\n/,1\n/a,\n"
	m := Mapping{Type: "page.viewed"}
	first := ids(t, monday, rows, m)
	if len(first) != 3 || !strings.HasPrefix(first[0], "ev.csv#1#") || !strings.HasPrefix(first[1], "ev.csv#2#") {
		t.Fatalf("got %q", first)
	}
	for name, again := range map[string][]string{
		"moved":              ids(t, tuesday, rows, m),
		"appended to":        ids(t, monday, rows+"/b,2\n", m)[:3],
		"last row corrected": ids(t, monday, "page,ms\n/,1\n/,1\n/b,3\n", m)[:2],
	} {
		if diff := cmp.Diff(first[:len(again)], again); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	typed := m
	typed.Fields = &catalog.EventType{Name: "page.viewed",
		Fields: []catalog.Field{{Name: "ms", Type: catalog.String}, {Name: "page", Type: catalog.String}}}
	if diff := cmp.Diff(first, ids(t, monday, rows, typed)); diff != "" {
		t.Errorf("declared types: %s", diff)
	}
	for name, other := range map[string][]string{
		"other values":            ids(t, tuesday, "page,ms\n/x,1\n,1\n/a,1\n", m),
		"values in other columns": ids(t, tuesday, "page,ms\n1,/\n1,/\n,/a\n", m),
		"other column names":      ids(t, tuesday, "site,ms\n/,1\n/,1\n/a,\n", m),
		"another type":            ids(t, tuesday, rows, Mapping{Type: "page.left"}),
		"another source":          ids(t, tuesday, rows, Mapping{Type: "page.viewed", Source: "shop"}),
		"another file name": ids(t, filepath.Join(dir, "ev2.csv"), rows,
			Mapping{Type: "page.viewed", Source: "ev.csv"}),
	} {
		for i := range first {
			if first[i] == other[i] {
				t.Errorf("%s: row %d has the id %s of another event", name, i+1, first[i])
			}
		}
	}
}
