package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOtherProgramsReadTheLake reads the lake of a running server with every client of deploy/proof/readers that is
// installed, as plain files and over the S3 address. The files of the second half have a column more, because a field
// was declared between them.
func TestOtherProgramsReadTheLake(t *testing.T) {
	t.Parallel()
	python := os.Getenv("RECOUNT_READERS_PYTHON")
	if python == "" {
		t.Skip("RECOUNT_READERS_PYTHON names no Python with the clients of deploy/proof/readers/requirements.txt")
	}
	dir := t.TempDir()
	address := reserve(t)
	const events = 2000
	send := func(srv *server, first int) {
		var lines strings.Builder
		for i := first; i < first+events; i++ {
			fmt.Fprintf(&lines, `{"specversion":"1.0","id":"%d","source":"e2e","type":"hit",`+
				`"time":"2024-01-01T10:00:00Z","data":{"page":"/","user":"u","ms":1,"kind":"k"}}`+"\n", i)
		}
		if _, err := sender(t.Context(), srv.url).SendLines(t.Context(), []byte(lines.String())); err != nil {
			t.Fatal(err)
		}
		publishNow(t, srv)
	}
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "first.yaml"), crashConfig), "127.0.0.1:0")
	send(srv, 0)
	srv.stop(t)
	changed := strings.Replace(crashConfig, "ms: int64}", "ms: int64, kind: string}", 1)
	srv = start(t, dir, writeFile(t, filepath.Join(dir, "second.yaml"), changed), "127.0.0.1:0",
		"--object-store.listen", address)
	send(srv, events)

	readers := exec.CommandContext(t.Context(), python, filepath.Join("..", "readers", "readers.py"),
		filepath.Join(dir, "data", "s3", "objects", "recount"), "hit", "kind", "http://"+address,
		filepath.Join(dir, "data", "s3", "reader-credentials"))
	var messages strings.Builder
	readers.Stderr = &messages
	out, err := readers.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		t.Skip("no client is installed in " + python)
	}
	if err != nil {
		t.Fatalf("readers.py: %v\n%s%s", err, out, &messages)
	}
	t.Logf("\n%s", out)
	row := regexp.MustCompile(fmt.Sprintf(`\| (folder|S3) \| %d \| %d \| %d \| \d \|`, 2*events, 2*events, events))
	if rows := len(row.FindAll(out, -1)); rows < 2 || rows != strings.Count(string(out), "\n| ") {
		t.Errorf("every client must find %d ids, in the folder and over S3:\n%s", 2*events, out)
	}
	srv.stop(t)
}
