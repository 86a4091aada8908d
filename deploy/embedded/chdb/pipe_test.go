package chdb

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWithoutPipe stages much data where no named pipe can be made, as on a file system that has none.
func TestWithoutPipe(t *testing.T) {
	t.Parallel()
	c := &core{stageDir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.stageDir, "pipe-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789\n"), 200_000)
	st, err := parseStatement("INSERT INTO t FORMAT CSV")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.stage(&request{statement: st, data: bytes.NewReader(data)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(s.path)
	if err != nil || !bytes.Equal(got, data) || !strings.Contains(s.sql, s.path) {
		t.Errorf("%q reads %d of %d bytes: %v", s.sql, len(got), len(data), err)
	}
	s.remove()
	if _, err := os.Stat(s.path); err == nil {
		t.Error("the file was not removed")
	}
}
