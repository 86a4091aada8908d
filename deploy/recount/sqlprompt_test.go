package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestHistoryIsBounded starts prompts with a file that is short, long, and unreadable in the middle.
func TestHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	path := filepath.Join(dir, "recount", "sql_history")
	h := openHistory()
	for i := range maxHistoryFile {
		h.Add("SELECT " + strconv.Itoa(i))
	}
	h.close()
	linesOf := func() []string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	}
	h = openHistory()
	h.Add("SELECT 'last'")
	h.close()
	if got := len(linesOf()); got != maxHistoryFile+1 {
		t.Errorf("a file that is not too long has %d lines", got)
	}
	h = openHistory()
	h.Add("SELECT 'after'")
	h.close()
	got := linesOf()
	if len(got) != maxHistory+1 || got[0] != "SELECT 9001" || got[maxHistory-1] != "SELECT 'last'" ||
		got[maxHistory] != "SELECT 'after'" {
		t.Errorf("%d lines from %q to %q", len(got), got[0], got[len(got)-1])
	}
	if h.At(0) != "SELECT 'after'" || h.At(1) != "SELECT 'last'" || h.Len() != maxHistory {
		t.Errorf("remembered: %q, %q of %d", h.At(0), h.At(1), h.Len())
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
	tooLong := "SELECT 1\n" + strings.Repeat("x", maxStatement+1) + "\nSELECT 2\n"
	if err := os.WriteFile(path, []byte(tooLong), 0o600); err != nil {
		t.Fatal(err)
	}
	h = openHistory()
	h.Add("SELECT 3")
	h.close()
	if got := linesOf(); len(got) != 2 || got[0] != "SELECT 1" || got[1] != "SELECT 3" {
		t.Errorf("after a line that is too long: %.80q", got)
	}
}
