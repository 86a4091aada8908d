package s3server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestReadOnly: nothing is made, swept or taken, writes are refused, and a writer is kept out.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	c := DefaultConfig(t.TempDir())
	c.ReadOnly = true
	if _, err := Open(c); err == nil {
		t.Fatal("an empty folder was opened for reading")
	}
	c.ReadOnly = false
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	left := filepath.Join(c.Dir, "tmp", "body-left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.ReadOnly = true
	for range 2 { // Readers share the folder.
		reader, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete} {
			w := httptest.NewRecorder()
			reader.handler.ServeHTTP(w, httptest.NewRequest(method, "/recount/key", nil))
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: status %d", method, w.Code)
			}
		}
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("a reader swept the folder: %v", err)
	}
	c.ReadOnly = false
	if _, err := Open(c); err == nil {
		t.Error("a writer took a folder that is being read")
	}
}
