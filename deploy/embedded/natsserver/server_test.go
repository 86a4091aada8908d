package natsserver_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/deploy/embedded/natsserver"
	"recount/speed/eventlog"
)

func open(t *testing.T, c natsserver.Config) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// L1: no acknowledged message is lost or renumbered by kill -9, however often.
func TestKillLosesNothingAcked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acked []ack
	for range 3 {
		acks, err := runChild(t, "append", dir)
		if err == nil || len(acks) < 300 {
			t.Fatalf("child ended with %v after %d acks, want it killed after hundreds", err, len(acks))
		}
		acked = append(acked, acks...)
	}
	checkAcked(t, dir, acked, func(frame string) string { return frame })
}

// checkAcked reads every partition from its start and finds each ack at its sequence.
func checkAcked(t *testing.T, dir string, acked []ack, id func(frame string) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, l, err := openBoth(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer l.Close()
	stored := make(map[ack]bool)
	for p := range l.Partitions() {
		readAll(ctx, t, l, p, func(m eventlog.Message) { stored[ack{p, m.Seq, id(string(m.Data))}] = true })
	}
	for _, a := range acked {
		if !stored[a] {
			t.Errorf("acked but not stored there: %+v", a)
		}
	}
}

func readAll(ctx context.Context, t *testing.T, l *eventlog.Log, p int, each func(eventlog.Message)) {
	t.Helper()
	first, next, err := l.Bounds(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Read(ctx, p, first)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seq := first; seq < next; seq++ {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		each(m)
	}
}

// L5: the jump after a seal survives kill -9.
func TestKillAfterAdvance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := runChild(t, "advance", dir); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("child ended with %v, want killed", err)
	}
	s, l, err := openBoth(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer l.Close()
	for p, want := range map[int]uint64{0: 1000, 1: 2000, 2: 1} {
		if first, next, err := l.Bounds(t.Context(), p); err != nil || first != want || next != want {
			t.Errorf("partition %d: got [%d, %d) %v, want [%d, %d)", p, first, next, err, want, want)
		}
	}
}

// A disk that takes no more bytes halts the log with an alarm, and what was acked is
// there after a restart with room.
func TestFullDiskHalts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acks, err := runChild(t, "full", dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(acks) < 10 {
		t.Fatalf("%d acks before the disk was full, want dozens", len(acks))
	}
	checkAcked(t, dir, acks, func(frame string) string { return strings.TrimRight(frame, "x") })
}

func TestDirectoryHasOneOwner(t *testing.T) {
	t.Parallel()
	c := natsserver.DefaultConfig(t.TempDir())
	s := open(t, c)
	if _, err := natsserver.Open(t.Context(), c); err == nil ||
		!strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("second server over one directory: got %v", err)
	}
	s.Close()
	s.Close()
	open(t, c)
}

func TestLostDirectoryIsUnhealthy(t *testing.T) {
	t.Parallel()
	c := natsserver.DefaultConfig(t.TempDir())
	s := open(t, c)
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(c.Dir, "jetstream")
	if err := os.Rename(store, store+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("without the directory: got %v", err)
	}
	if err := os.Mkdir(store, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("with another directory: got %v", err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	c := natsserver.DefaultConfig(t.TempDir())
	if got := open(t, c).ClientURL(); got != "" {
		t.Errorf("without listen: url %q, want none", got)
	}
	c.Dir = t.TempDir()
	c.Listen = "127.0.0.1:0"
	url := open(t, c).ClientURL()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	conn.Close()
	c.Dir = t.TempDir()
	c.Listen = strings.TrimPrefix(url, "nats://")
	if _, err := natsserver.Open(t.Context(), c); err == nil ||
		!strings.Contains(err.Error(), "address already in use") {
		t.Errorf("taken port: got %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for field, alter := range map[string]func(*natsserver.Config){
		"dir is empty":           func(c *natsserver.Config) { c.Dir = "" },
		"max payload":            func(c *natsserver.Config) { c.MaxPayload = 1 },
		"max store":              func(c *natsserver.Config) { c.MaxStore = -1 },
		"not a loopback address": func(c *natsserver.Config) { c.Listen = "0.0.0.0:4222" },
		"want host:port":         func(c *natsserver.Config) { c.Listen = "127.0.0.1" },
	} {
		c := natsserver.DefaultConfig(t.TempDir())
		alter(&c)
		if _, err := natsserver.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// The server is told once and answers for itself: SyncAlways is what runs.
func TestSyncAlways(t *testing.T) {
	t.Parallel()
	c := natsserver.DefaultConfig(t.TempDir())
	if s := open(t, c); !s.SyncAlways() {
		t.Error("default server does not sync always")
	}
	c.Dir = t.TempDir()
	c.SyncAlways = false
	if s := open(t, c); s.SyncAlways() {
		t.Error("server syncs always although told not to")
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := natsserver.DefaultConfig(t.TempDir())
	c.MaxPayload = 4 << 20
	c.Logger = slog.New(slog.NewTextHandler(&out, nil))
	open(t, c).Close()
	if out.Len() > 0 {
		t.Errorf("a plain start and stop is not worth a line, got:\n%s", &out)
	}
}
