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
