package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotify listens as a service manager does, on a file and in the abstract namespace.
func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@recount-" + filepath.Base(t.TempDir())} {
		manager := listenAsManager(t, name)
		t.Setenv("NOTIFY_SOCKET", name)
		if err := notify(stateReady); err != nil {
			t.Fatal(err)
		}
		if got := manager(); got != "READY=1" {
			t.Errorf("%s: the manager received %q, want READY=1", name, got)
		}
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := notify(stateReady); err == nil || !strings.Contains(err.Error(), "tell the service manager READY=1") {
		t.Errorf("without a listener: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notify(stateReady); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}

// TestServeNotifies runs a server from its start to its end under a service manager.
func TestServeNotifies(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "notify")
	manager := listenAsManager(t, name)
	t.Setenv("NOTIFY_SOCKET", name)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	var out, errw strings.Builder
	go func() {
		ended <- run(ctx, []string{"up", "--config=example.yaml", "--data-dir", filepath.Join(dir, "data"),
			"--listen=127.0.0.1:0"}, strings.NewReader(""), &out, &errw)
	}()
	if got := manager(); got != "READY=1" {
		t.Errorf("first message %q, want READY=1", got)
	}
	stop()
	if got := manager(); got != "STOPPING=1" {
		t.Errorf("second message %q, want STOPPING=1", got)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d:\n%s%s", code, out.String(), errw.String())
	}
}

// listenAsManager opens a service manager's socket. The function it returns waits for one message.
func listenAsManager(t *testing.T, name string) func() string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 256)
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}
