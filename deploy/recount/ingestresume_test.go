package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ingestInto runs the command against a server and returns the lines that it accepted.
func ingestInto(t *testing.T, s *fakeServer, args ...string) (code int, sent, printed string) {
	t.Helper()
	srv := httptest.NewServer(s)
	defer srv.Close()
	code, stdout, stderr := command(t, append([]string{"ingest", "--server", srv.URL}, args...)...)
	for _, b := range s.bodies {
		sent += string(b)
	}
	return code, sent, stdout + stderr
}

// TestIngestPipe sends all of a pipe, of which the first rows are read before anything is sent.
func TestIngestPipe(t *testing.T) {
	t.Parallel()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const events = 50_000
	wrote := make(chan error, 1)
	go func() { // The pipe holds less than this, so it is written while it is read.
		_, err := to.WriteString(strings.Repeat(`{"id":"`+strings.Repeat("x", 90)+"\"}\n", events))
		wrote <- errors.Join(err, to.Close())
	}()
	path := fmt.Sprintf("/dev/fd/%d", from.Fd())
	s := &fakeServer{}
	if code, _, printed := ingestInto(t, s, path, "--format=json"); code != exitOK || s.lines() != events {
		t.Errorf("exit code %d, and %d of %d events arrived:\n%s", code, s.lines(), events, printed)
	}
	if err := errors.Join(from.Close(), <-wrote); err != nil {
		t.Error(err)
	}
	twice := []string{"/dev/null", "/dev/null", "--format=json"}
	if code, _, printed := ingestInto(t, &fakeServer{}, twice...); code != exitFailed ||
		!strings.Contains(printed, "it is named twice, and can be read once only") {
		t.Errorf("exit code %d:\n%s", code, printed)
	}
}

// TestResumeMended sends rows that were rejected and then mended, and those after them.
func TestResumeMended(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*fakeServer{"rejected here": {}, "rejected by the server": {rejects: "/bad"}} {
		dir := t.TempDir()
		bad := "3,/bad\n"
		if s.rejects == "" {
			bad = ",/bad\n"
		}
		path := file(t, filepath.Join(dir, "a.csv"), []byte("id,page\n1,/\n2,/\n"+bad+"4,/\n"))
		args := []string{path, "--type=t", "--id=id", "--batch=1", "--resume", filepath.Join(dir, "sent.json")}
		if code, _, printed := ingestInto(t, s, args...); code != exitFailed || s.lines() != 3 {
			t.Fatalf("%s: exit code %d, %d events:\n%s", name, code, s.lines(), printed)
		}
		file(t, path, []byte("id,page\n1,/\n2,/\n3,/good\n4,/\n5,/\n"))
		s.bodies = nil
		code, sent, printed := ingestInto(t, s, args...)
		if code != exitOK || s.lines() != 3 || !strings.Contains(sent, `"/good"`) ||
			!strings.Contains(printed, "the first 2 rows were sent before") {
			t.Errorf("%s: exit code %d, sent\n%s\n%s", name, code, sent, printed)
		}
	}
}

// TestResumeChanged refuses a file with another row than the one that was sent, wherever it is.
func TestResumeChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := file(t, filepath.Join(dir, "a.csv"), []byte("id,page\n1,/\n2,/\n"))
	journal := filepath.Join(dir, "sent.json")
	args := []string{path, "--type=t", "--id=id", "--resume", journal}
	if code, _, printed := ingestInto(t, &fakeServer{}, args...); code != exitOK {
		t.Fatal(printed)
	}
	file(t, path, []byte("id,page\n7,/\n2,/\n3,/\n"))
	if code, sent, printed := ingestInto(t, &fakeServer{}, args...); code != exitFailed || sent != "" ||
		!strings.Contains(printed, "its first 2 rows are others than those that "+journal+" says were sent") {
		t.Errorf("exit code %d, sent %s\n%s", code, sent, printed)
	}
	for content, want := range map[string]int{`{"version":2,"files":null}`: exitOK,
		`{"version":1,"files":{}}`:                    exitFailed,
		`{"version":2,"files":{"` + path + `":null}}`: exitOK} {
		file(t, journal, []byte(content))
		if code, _, printed := ingestInto(t, &fakeServer{}, args...); code != want {
			t.Errorf("%s: exit code %d, want %d:\n%s", content, code, want, printed)
		}
	}
}

// TestJournalBound keeps no content of requests that have ended, and not any number of them.
func TestJournalBound(t *testing.T) {
	t.Parallel()
	j, err := openJournal("")
	if err != nil {
		t.Fatal(err)
	}
	s := j.rowsOf("a")
	slow, err := s.begin(t.Context(), &request{rows: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < maxRequests; i++ {
		q := &request{rows: int64(i) + 1, body: []byte("{}"), numbers: []int64{1}}
		done, err := s.begin(t.Context(), q)
		if err != nil {
			t.Fatal(i, err)
		}
		if done(); q.body != nil || q.numbers != nil {
			t.Fatal("a request that has ended keeps its content")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // With a free place each call may succeed or fail.
		if _, err := s.begin(ended, &request{}); err == nil {
			t.Fatalf("%d requests wait for the first", len(s.requests))
		}
	}
	slow()
	if s.Rows != maxRequests || len(s.requests) != 0 {
		t.Errorf("%d rows are sent, and %d requests wait", s.Rows, len(s.requests))
	}
	if _, err := s.begin(t.Context(), &request{}); err != nil {
		t.Error(err)
	}
}
