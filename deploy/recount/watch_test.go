package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWatchWaits: a server that restarts is waited for, which is said. A wait ends, and a refusal ends the command.
func TestWatchWaits(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n := asked.Add(1); {
		case n == 2:
			http.Error(w, "restarting", http.StatusServiceUnavailable)
		case n > 4:
			http.Error(w, "gone", http.StatusNotFound)
		default:
			w.Header().Set("Recount-Accuracy", `{"publication":1,"complete":true,"exact":true}`)
			fmt.Fprintf(w, "views,views__live\r\n%d,\r\n", n)
		}
	}))
	t.Cleanup(server.Close)
	line := []string{"watch", "v", "--server", server.URL, "--every=1s"}
	code, stdout, stderr := command(t, append(line, "--times=3")...)
	if code != exitOK || strings.Count(stdout, "views\n") != 3 || !strings.Contains(stdout, "\n4\n") ||
		!strings.Contains(stderr, "waiting for the server, at most 2m0s more") ||
		!strings.Contains(stderr, "3 answers, and no answer to 1 further questions") {
		t.Errorf("exit code %d: %s\n%s", code, stdout, stderr)
	}
	if code, _, stderr := command(t, line...); code != exitFailed || !strings.Contains(stderr, "gone") {
		t.Errorf("a refusal: exit code %d: %s", code, stderr)
	}
	server.Close()
	if code, _, stderr := command(t, append(line, "--wait=0s")...); code != exitFailed ||
		!strings.Contains(stderr, "the server did not answer for 0s (--wait)") {
		t.Errorf("a wait that is over: exit code %d: %s", code, stderr)
	}
	line[len(line)-1] = "--every=1h"
	if code, _, stderr := command(t, append(line, "--wait=300ms")...); code != exitFailed ||
		!strings.Contains(stderr, "the server did not answer for 0s (--wait)") {
		t.Errorf("a wait that ends before the next question: exit code %d: %s", code, stderr)
	}
}

// TestWatchWaitsForAView: a new view is waited for while the server says when to ask again. One that the publication of
// --as-of lacks never comes, so the refusal ends the command.
func TestWatchWaitsForAView(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n == 1 || r.FormValue("as_of") != "" {
			if n == 1 {
				w.Header().Set("Retry-After", "5")
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":409,"code":"view_not_published","detail":"the next recompute fills it"}`)
			return
		}
		w.Header().Set("Recount-Accuracy", `{"publication":1,"complete":true,"exact":true}`)
		fmt.Fprint(w, "views,views__live\r\n7,\r\n")
	}))
	t.Cleanup(server.Close)
	line := []string{"watch", "v", "--server", server.URL, "--every=1s", "--times=1"}
	if code, stdout, stderr := command(t, line...); code != exitOK || !strings.Contains(stdout, "\n7\n") ||
		!strings.Contains(stderr, "the next recompute fills it") {
		t.Errorf("exit code %d: %s\n%s", code, stdout, stderr)
	}
	if code, _, stderr := command(t, append(line, "--as-of=1")...); code != exitFailed ||
		!strings.Contains(stderr, "view_not_published") {
		t.Errorf("with --as-of: exit code %d: %s", code, stderr)
	}
}

// TestWatchElsewhere: off a terminal, errors and not answers say what an answer lacks. A plot that would end too early
// ends the command, and is not asked for again.
func TestWatchElsewhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Recount-Accuracy", `{"publication":1,"truncated":true,"stale_partitions":[3]}`)
		if r.FormValue("granularity") == "1h" {
			fmt.Fprint(w, "time,views\r\n2024-01-01T00:00:00Z,1\r\n")
			return
		}
		fmt.Fprint(w, "views\r\n1\r\n")
	}))
	t.Cleanup(server.Close)
	line := []string{"watch", "v", "--server", server.URL, "--times=1", "--wait=0s"}
	const lacks = "INCOMPLETE: newer events of partitions [3] are missing"
	for format, says := range map[string]bool{"table": true, "csv": true, "json": false} {
		code, stdout, stderr := command(t, append(line, "--format", format)...)
		if code != exitOK || strings.Contains(stdout, lacks) || strings.Contains(stderr, lacks) != says {
			t.Errorf("%s: exit code %d: %s\n%s", format, code, stdout, stderr)
		}
	}
	if code, _, stderr := command(t, append(line, "--plot", "--granularity=1h")...); code != exitUsage ||
		!strings.Contains(stderr, "there are more rows than --limit") {
		t.Errorf("a plot of a part: exit code %d: %s", code, stderr)
	}
}

// TestScreen: an answer takes the place of the one before, and is cut to the terminal.
func TestScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	s.height = 4
	s.width = 5
	for _, text := range []string{"1234567\nb\n", "a\nb\nc\nd\n"} {
		if err := s.draw(text); err != nil {
			t.Fatal(err)
		}
	}
	want := "\x1b[J1234…\nb\n" + "\x1b[2A\r\x1b[Ja\nb\n… an…\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestScreenCutsColours: escapes of colours need no room, and a line that is cut ends with the colour as it was.
func TestScreenCutsColours(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"ab \x1b[36m##\x1b[0m":     "ab \x1b[36m##\x1b[0m",
		"ab \x1b[36m###\x1b[0m 12": "ab \x1b[36m#\x1b[0m…",
		"abcdef \x1b[36m##\x1b[0m": "abcd\x1b[36m\x1b[0m…",
		"abcdef":                   "abcd…",
	} {
		if got := cutLine(line, 5); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

// TestScreenFits: a terminal that becomes narrower while a watch runs is drawn anew, below what its lines became.
func TestScreenFits(t *testing.T) {
	t.Parallel()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this machine has no pseudo terminals: ", err)
	}
	defer file.Close()
	resize := func(columns uint16) {
		size := &unix.Winsize{Row: 9, Col: columns}
		if err := unix.IoctlSetWinsize(int(file.Fd()), unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
	}
	resize(100)
	s := newScreen(file)
	s.lines = 3
	if s.fit(); s.width != 100 || s.height != 9 || s.lines != 3 {
		t.Errorf("the same size: got %d signs, %d lines, %d drawn", s.width, s.height, s.lines)
	}
	resize(50)
	if s.fit(); s.width != 50 || s.lines != 0 {
		t.Errorf("another size: got %d signs, %d drawn", s.width, s.lines)
	}
}

// TestWatchEndsWithItsContext: Ctrl-C ends a watch with exit code 0, and it says what it did.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Recount-Accuracy", "{}")
		fmt.Fprint(w, "views\r\n1\r\n")
		time.AfterFunc(50*time.Millisecond, cancel) // The next answer is due in an hour.
	}))
	t.Cleanup(server.Close)
	var out, errw bytes.Buffer
	code := run(ctx, []string{"watch", "v", "--server", server.URL, "--every=1h"}, strings.NewReader(""), &out, &errw)
	if code != exitOK || !strings.Contains(errw.String(), "watched for 0s: 1 answer") {
		t.Errorf("exit code %d: %s", code, errw.String())
	}
}
