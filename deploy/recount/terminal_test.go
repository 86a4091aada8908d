package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestHangupIsIgnored sends SIGHUP to the test itself, which would end it.
func TestHangupIsIgnored(t *testing.T) {
	var out lockedBuffer
	defer ignoreHangups(slog.New(slog.NewTextHandler(&out, nil)))()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if strings.Contains(out.String(), "SIGHUP is ignored") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("nothing was logged: %q", out.String())
}

// TestTableShowsNoEscapes prints texts that a terminal would obey.
func TestTableShowsNoEscapes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printTable(&out, strings.NewReader("page,n\n\"\x1b[2J\u202e\u009b\n\tü€ 日\",1\n")); err != nil {
		t.Fatal(err)
	}
	want := "page                           n\n\\x1b[2J\\u202e\\u009b\\n\\tü€ 日  1\n"
	if got := out.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTerminalShowsEscapes writes what commands print, cut at every byte. Layout stays, and everything that a terminal
// would obey is shown.
func TestTerminalShowsEscapes(t *testing.T) {
	t.Parallel()
	text := "page,n\r\n\x1b[2J\u202e\u009b\tü€😀\x7f,1\r\nover\rwritten \xff\n"
	want := "page,n\n\\x1b[2J\\u202e\\u009b\tü€😀\\x7f,1\nover\\rwritten \ufffd\n"
	for cut := range len(text) {
		var out bytes.Buffer
		w := &terminal{out: &out}
		for _, part := range []string{text[:cut], text[cut:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if out.String() != want {
			t.Errorf("cut at %d: got %q, want %q", cut, out.String(), want)
		}
	}
}
