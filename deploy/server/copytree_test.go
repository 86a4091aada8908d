package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCopyTree writes to every file of a copy and expects the original as it was.
func TestCopyTree(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "from")
	to := filepath.Join(t.TempDir(), "to")
	mustDo(t, os.MkdirAll(filepath.Join(from, "store"), 0o700))
	mustDo(t, os.WriteFile(filepath.Join(from, "store", "part"), []byte("rows"), 0o400))
	mustDo(t, os.Symlink(filepath.Join(from, "store", "part"), filepath.Join(from, "absolute")))
	mustDo(t, os.Symlink("store/part", filepath.Join(from, "relative")))
	mustDo(t, copyTree(t.Context(), from, to))
	for _, name := range []string{"store/part", "absolute", "relative"} {
		mustDo(t, os.WriteFile(filepath.Join(to, name), []byte(name), 0o600))
	}
	if raw, err := os.ReadFile(filepath.Join(from, "store", "part")); err != nil || string(raw) != "rows" {
		t.Errorf("the original now holds %q, %v", raw, err)
	}
	mustDo(t, os.Symlink("/etc/hostname", filepath.Join(from, "outside")))
	if err := copyTree(t.Context(), from, filepath.Join(t.TempDir(), "again")); err == nil ||
		!strings.Contains(err.Error(), "leads out of its folder") {
		t.Errorf("a link that leads out: %v", err)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
