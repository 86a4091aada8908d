package eventlog_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"recount/deploy/embedded/natsserver"
	"recount/speed/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout ends a test that hangs. No test depends on its length.
const testTimeout = time.Minute

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// host is an embedded server that can be stopped, replaced and silenced while a Log
// stays connected to it.
type host struct {
	t testing.TB

	mu      sync.Mutex
	server  *natsserver.Server
	mute    chan struct{} // while it is not nil, nothing that the server sends arrives
	corrupt func([]byte)  // changes what the server sends; nil changes nothing
}

func newHost(t testing.TB, dir string) *host {
	t.Helper()
	h := &host{t: t}
	h.start(natsserver.DefaultConfig(dir))
	t.Cleanup(h.stop)
	return h
}

func (h *host) start(c natsserver.Config) {
	h.t.Helper()
	s, err := natsserver.Open(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server = s
}

func (h *host) stop() {
	h.unmute()
	if s := h.current(); s != nil {
		s.Close()
	}
}

func (h *host) current() *natsserver.Server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.server
}

func (h *host) silence() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute = make(chan struct{})
}

func (h *host) unmute() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mute != nil {
		close(h.mute)
		h.mute = nil
	}
}

func (h *host) silenced() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mute
}

func (h *host) corruptWith(f func([]byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.corrupt = f
}

func (h *host) deliver(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.corrupt != nil {
		h.corrupt(p)
	}
}

func (h *host) SyncAlways() bool { return h.current().SyncAlways() }
func (h *host) Healthy() error   { return h.current().Healthy() }

func (h *host) InProcessConn() (net.Conn, error) {
	c, err := h.current().InProcessConn()
	if err != nil {
		return nil, err
	}
	return mutableConn{c, h}, nil
}

type mutableConn struct {
	net.Conn
	host *host
}

func (m mutableConn) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if mute := m.host.silenced(); mute != nil {
		<-mute
	}
	m.host.deliver(p[:n])
	return n, err
}

// small is a configuration whose limits a test can reach.
func small(h *host) eventlog.Config {
	c := eventlog.DefaultConfig(h)
	c.Partitions = 2
	c.MaxBytes = 64 << 20
	return c
}

func openLog(t testing.TB, c eventlog.Config) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func appendN(t testing.TB, l *eventlog.Log, partition, n int) {
	t.Helper()
	ctx := testContext(t)
	for range n {
		if _, err := l.Append(ctx, partition, []byte("frame"), ""); err != nil {
			t.Fatal(err)
		}
	}
}

func wantBounds(t testing.TB, l *eventlog.Log, partition int, first, next uint64) {
	t.Helper()
	f, n, err := l.Bounds(testContext(t), partition)
	if err != nil || f != first || n != next {
		t.Fatalf("bounds of %d: got [%d, %d) %v, want [%d, %d)", partition, f, n, err, first, next)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func readFrom(t testing.TB, l *eventlog.Log, partition int, from uint64) *eventlog.Reader {
	t.Helper()
	ctx := testContext(t)
	r, err := l.Read(ctx, partition, from)
	// After a restart, the connection for reads may be restored later than the one for appends.
	for errors.Is(err, eventlog.ErrUnavailable) && ctx.Err() == nil {
		r, err = l.Read(ctx, partition, from)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func next(t testing.TB, r *eventlog.Reader) eventlog.Message {
	t.Helper()
	m, err := r.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// admin returns a JetStream client that works around the Log, as an operator's tool does.
func admin(t testing.TB, h *host) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(h), nats.Timeout(testTimeout))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(testTimeout))
	if err != nil {
		t.Fatal(err)
	}
	return js
}
