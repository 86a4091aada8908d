package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer accepts every event after it has refused the first requests with the status codes in refusals.
type fakeServer struct {
	refusals []int
	mu       sync.Mutex
	bodies   [][]byte
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(s.refusals) > 0 {
		w.WriteHeader(s.refusals[0])
		fmt.Fprint(w, `{"code":"overloaded"}`)
		s.refusals = s.refusals[1:]
		return
	}
	s.bodies = append(s.bodies, body)
	fmt.Fprintf(w, `{"accepted":%d}`, bytes.Count(body, []byte("\n")))
}

// lines returns how many events the server accepted.
func (s *fakeServer) lines() (n int) {
	for _, b := range s.bodies {
		n += bytes.Count(b, []byte("\n"))
	}
	return n
}

// file writes a file and returns its path.
func file(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestIngest sends files to a server and checks how many events arrive and what the command prints.
func TestIngest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rows := file(t, filepath.Join(dir, "monday", "ev.csv"), []byte("page\n/\n/\n"))
	same := file(t, filepath.Join(dir, "tuesday", "ev.csv"), []byte("page\n/\n/a\n"))
	events := file(t, filepath.Join(dir, "monday", "ev.ndjson"), []byte("{}\n{}\n"))
	more := file(t, filepath.Join(dir, "tuesday", "ev.ndjson"), []byte("{}\n"))
	settings := file(t, filepath.Join(dir, "ex.yaml"), nil)
	for name, c := range map[string]struct {
		args     []string
		refusals []int
		code     int
		says     string
		accepted int
	}{
		"rows": {args: []string{rows, "--type=t"}, says: "accepted 2, rejected 0\n", accepted: 2},
		"same name": {args: []string{rows, same, "--type=t"}, code: exitUsage,
			says: "have the same name, which identifies their rows"},
		"same name with ids":         {args: []string{rows, same, "--type=t", "--id=page"}, accepted: 4},
		"same name with CloudEvents": {args: []string{events, more}, accepted: 3},
		"overloaded at first": {args: []string{events}, refusals: []int{429, 503}, says: "not accepted yet",
			accepted: 2},
		"refused": {args: []string{events}, refusals: []int{413}, code: exitFailed, says: "overloaded"},
		"unknown kind": {args: []string{events, settings}, code: exitUsage, says: "recount: " + settings +
			": unknown kind of file"},
		"no type": {args: []string{events, rows}, code: exitUsage, says: "recount: " + rows +
			": name the event type"},
		"no column": {args: []string{rows, "--type=t", "--id=no"}, code: exitFailed, says: "recount: " +
			rows + ": --id no: no such column"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fakeServer{refusals: c.refusals}
			srv := httptest.NewServer(s)
			defer srv.Close()
			began := time.Now()
			code, stdout, stderr := command(t, append([]string{"ingest", "--server", srv.URL}, c.args...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) || s.lines() != c.accepted {
				t.Errorf("exit code %d and %d events, want %d, %d and output with %q:\n%s%s", code, s.lines(), c.code,
					c.accepted, c.says, stdout, stderr)
			}
			// Package progress prints nothing during the first five seconds.
			if time.Since(began) < 5*time.Second && strings.Contains(stderr, "0 accepted") {
				t.Errorf("progress was printed for a file that is sent within seconds:\n%s", stderr)
			}
		})
	}
}

// TestIngestWithoutServer checks that a command fails at once when no server listens at the address.
func TestIngestWithoutServer(t *testing.T) {
	t.Parallel()
	path := file(t, filepath.Join(t.TempDir(), "ev.ndjson"), []byte("{}\n"))
	start := time.Now()
	code, stdout, stderr := command(t, "ingest", "--server=http://127.0.0.1:1", path)
	if code != exitFailed || !strings.Contains(stderr, "is a server running? try: recount up") || stdout != "" {
		t.Errorf("exit code %d after %s:\n%s%s", code, time.Since(start), stdout, stderr)
	}
}

// TestIngestLongLines checks that a request ends at maxBody bytes, even if it has few lines.
func TestIngestLongLines(t *testing.T) {
	t.Parallel()
	line := append(bytes.Repeat([]byte(" "), 1<<20), "{}\n"...)
	line[0] = '{'
	line[len(line)-3] = ' '
	s := &fakeServer{}
	srv := httptest.NewServer(s)
	defer srv.Close()
	path := file(t, filepath.Join(t.TempDir(), "ev.ndjson"), slices.Concat(slices.Repeat([][]byte{line}, 20)...))
	if code, stdout, stderr := command(t, "ingest", "--server", srv.URL, path); code != exitOK || s.lines() != 20 {
		t.Errorf("exit code %d, %d events:\n%s%s", code, s.lines(), stdout, stderr)
	}
	for _, b := range s.bodies {
		if len(b) >= maxBody+len(line) {
			t.Errorf("a request has %d bytes, want less than %d", len(b), maxBody+len(line))
		}
	}
}
