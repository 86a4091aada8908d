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

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
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

func through(t *testing.T, f Faults) (*Proxy, net.Conn) {
	t.Helper()
	p, err := Listen(echo(t), 7)
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

// roundTrip sends the bytes and returns what came back.
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

func random(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestPassesBytesUnchanged(t *testing.T) {
	t.Parallel()
	_, c := through(t, Faults{Up: Direction{Jitter: time.Millisecond}, Down: Direction{Latency: time.Millisecond}})
	want := random(1 << 20)
	if got := roundTrip(t, c, want); !bytes.Equal(got, want) {
		t.Error("bytes changed or changed places")
	}
}

func TestFlipsAreCountedAndSeeded(t *testing.T) {
	t.Parallel()
	want := random(1 << 20)
	var before []byte
	for range 2 {
		p, c := through(t, Faults{Up: Direction{FlipOneIn: 10_000}})
		got := roundTrip(t, c, want)
		flipped := int64(0)
		for i := range got {
			flipped += int64(bits.OnesCount8(got[i] ^ want[i]))
		}
		if n := p.Stats().Flips; flipped != n || n < 50 || n > 200 {
			t.Errorf("%d bits differ, %d counted, about 105 wanted", flipped, n)
		}
		if before != nil && !slices.Equal(before, got) {
			t.Error("the same seed flipped other bits")
		}
		before = got
	}
}

func TestLatencyDelays(t *testing.T) {
	t.Parallel()
	_, c := through(t, Faults{Up: Direction{Latency: 60 * time.Millisecond},
		Down: Direction{Latency: 60 * time.Millisecond}})
	began := time.Now()
	roundTrip(t, c, []byte("ping"))
	if took := time.Since(began); took < 120*time.Millisecond {
		t.Errorf("there and back in %s", took)
	}
}

func TestBandwidthBounds(t *testing.T) {
	t.Parallel()
	_, c := through(t, Faults{Down: Direction{BytesPerSecond: 256 << 10}})
	began := time.Now()
	roundTrip(t, c, random(64<<10))
	if took := time.Since(began); took < 240*time.Millisecond {
		t.Errorf("64 KiB at 256 KiB/s in %s", took)
	}
}

func TestStallEndsAndNothingIsLost(t *testing.T) {
	t.Parallel()
	p, c := through(t, Faults{Down: Direction{Stall: true}})
	want := random(100_000)
	time.AfterFunc(100*time.Millisecond, func() { p.Set(Faults{}) })
	began := time.Now()
	if got := roundTrip(t, c, want); !bytes.Equal(got, want) {
		t.Error("bytes changed")
	}
	if time.Since(began) < 100*time.Millisecond {
		t.Error("bytes arrived during the stall")
	}
}

func TestResetIsSeen(t *testing.T) {
	t.Parallel()
	p, c := through(t, Faults{})
	roundTrip(t, c, []byte("ping"))
	if n := p.Reset(); n != 1 {
		t.Errorf("%d connections reset, want 1", n)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// TestHalfOpenSaysNothing expects a hit connection to take bytes and answer none, even
// after healing, while a new one works.
func TestHalfOpenSaysNothing(t *testing.T) {
	t.Parallel()
	p, c := through(t, Faults{})
	roundTrip(t, c, []byte("ping"))
	p.HalfOpen()
	if _, err := c.Write([]byte("anybody?")); err != nil {
		t.Error(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	again, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	roundTrip(t, again, []byte("ping"))
}
