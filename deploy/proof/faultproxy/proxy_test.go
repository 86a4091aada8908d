package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startEcho starts a server that sends back what it receives, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// dialThrough connects to an echo server through a proxy with the given faults.
func dialThrough(t *testing.T, f Faults) (*Proxy, net.Conn) {
	t.Helper()
	p, err := Listen(startEcho(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Set(f)
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, c
}

// roundTrip sends the bytes and returns the same number of bytes that come back.
func roundTrip(t *testing.T, c net.Conn, b []byte) []byte {
	t.Helper()
	go func() { _, _ = c.Write(b) }()
	got := make([]byte, len(b))
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return got
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestPassesBytesUnchanged(t *testing.T) {
	t.Parallel()
	_, c := dialThrough(t, Faults{ToServer: Direction{Jitter: time.Millisecond},
		ToClient: Direction{Latency: time.Millisecond}})
	want := randomBytes(1 << 20)
	if got := roundTrip(t, c, want); !bytes.Equal(got, want) {
		t.Error("the bytes that came back differ from those that were sent")
	}
}

func TestFlipsAreCountedAndSeeded(t *testing.T) {
	t.Parallel()
	want := randomBytes(1 << 20)
	var earlier []byte
	for range 2 {
		p, c := dialThrough(t, Faults{ToServer: Direction{FlipOneIn: 10_000}})
		got := roundTrip(t, c, want)
		flipped := int64(0)
		for i := range got {
			flipped += int64(bits.OnesCount8(got[i] ^ want[i]))
		}
		if n := p.Stats().Flips; flipped != n || n < 50 || n > 200 {
			t.Errorf("%d bits differ and %d flips were counted, want the same number, about 105", flipped, n)
		}
		if earlier != nil && !slices.Equal(earlier, got) {
			t.Error("the same seed flipped different bits the second time")
		}
		earlier = got
	}
}

func TestLatencyDelays(t *testing.T) {
	t.Parallel()
	_, c := dialThrough(t, Faults{ToServer: Direction{Latency: 60 * time.Millisecond},
		ToClient: Direction{Latency: 60 * time.Millisecond}})
	began := time.Now()
	roundTrip(t, c, []byte("ping"))
	if took := time.Since(began); took < 120*time.Millisecond {
		t.Errorf("the round trip took %s, want at least 120ms", took)
	}
}

func TestBandwidthBounds(t *testing.T) {
	t.Parallel()
	_, c := dialThrough(t, Faults{ToClient: Direction{BytesPerSecond: 256 << 10}})
	began := time.Now()
	roundTrip(t, c, randomBytes(64<<10))
	if took := time.Since(began); took < 240*time.Millisecond {
		t.Errorf("64 KiB at 256 KiB/s took %s, want at least 240ms", took)
	}
}

func TestStallLosesNothing(t *testing.T) {
	t.Parallel()
	p, c := dialThrough(t, Faults{ToClient: Direction{Stall: true}})
	want := randomBytes(100_000)
	time.AfterFunc(100*time.Millisecond, func() { p.Set(Faults{}) })
	began := time.Now()
	if got := roundTrip(t, c, want); !bytes.Equal(got, want) {
		t.Error("the bytes that came back differ from those that were sent")
	}
	if time.Since(began) < 100*time.Millisecond {
		t.Error("bytes arrived during the stall")
	}
}

func TestResetReachesTheClient(t *testing.T) {
	t.Parallel()
	p, c := dialThrough(t, Faults{})
	roundTrip(t, c, []byte("ping"))
	if n := p.Reset(); n != 1 {
		t.Errorf("%d connections reset, want 1", n)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: got error %v, want ECONNRESET", err)
	}
}

// TestHalfOpenConnectionIsSilent checks that a half-open connection accepts bytes and returns
// none, while a new connection works.
func TestHalfOpenConnectionIsSilent(t *testing.T) {
	t.Parallel()
	p, c := dialThrough(t, Faults{})
	roundTrip(t, c, []byte("ping"))
	p.HalfOpen()
	if _, err := c.Write([]byte("anybody?")); err != nil {
		t.Error(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: got error %v, want the deadline to pass", err)
	}
	fresh, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	roundTrip(t, fresh, []byte("ping"))
}
