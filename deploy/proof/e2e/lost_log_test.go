package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostLogIsSealed removes the log of a stopped server (L5, L8). The server refuses to start until it is told
// that the log is lost. The epoch must be sealed and the
// published counts must stay exact. New events must add to them, although the sequences of the
// new log begin again.
func TestLostLogIsSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), crashConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 0, 1000)
	expectHits(t, srv, "exact", 1000)
	srv.stop(t)
	if err := os.RemoveAll(filepath.Join(dir, "data", "log")); err != nil {
		t.Fatal(err)
	}

	if _, err := launch(dir, config, "127.0.0.1:0"); err == nil {
		t.Fatal("the server started with a new log in place of the one that is missing")
	}
	srv = start(t, dir, config, "127.0.0.1:0", "--replace-log")
	if !strings.Contains(srv.logs.String(), "sealing its epoch") {
		t.Errorf("the server's log does not report the lost log:\n%s", srv.logs)
	}
	expectHits(t, srv, "merged", 1000)
	sendHits(t, srv, 1000, 1500)
	expectHits(t, srv, "merged", 1500)
	expectHits(t, srv, "exact", 1500)
	srv.stop(t)

	srv = start(t, dir, config, "127.0.0.1:0")
	expectHits(t, srv, "merged", 1500)
	srv.stop(t)
}

// sendHits sends events whose ids are the numbers from first up to, but not including, end.
func sendHits(t *testing.T, srv *server, first, end int) {
	t.Helper()
	var body strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&body, `{"specversion":"1.0","id":"%d","source":"e2e","type":"hit","time":"2024-01-01T10:00:00Z",`+
			`"data":{"page":"/","user":"u%d","ms":1}}`+"\n", i, i%7)
	}
	if _, err := sender(t.Context(), srv.url).SendLines(t.Context(), []byte(body.String())); err != nil {
		t.Fatal(err)
	}
}

// expectHits waits until the server counts n hits in a mode.
func expectHits(t *testing.T, srv *server, mode string, n float64) {
	t.Helper()
	err := eventually(t.Context(), func() error {
		a, err := query(t.Context(), srv.url, fmt.Sprintf(
			`{"view":"hits","measures":["hits"],"from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z","mode":%q}`,
			mode))
		if err == nil && (len(a.Rows) != 1 || a.Rows[0]["hits"].(float64) != n) {
			err = fmt.Errorf("mode %s: got %v with %+v, want %v hits", mode, a.Rows, a.Accuracy, n)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, srv.logs)
	}
}
