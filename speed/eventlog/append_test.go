package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"recount/speed/eventlog"
)

// Each ack names the sequence of its own frame while others append too, and a reader gets an
// unbroken sequence from 1 (L1, L3).
func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 50
	l := openLog(t, small(newHost(t, t.TempDir())))
	var mu sync.Mutex
	acked := [2]map[uint64]string{{}, {}}
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			for i := range each {
				frame := fmt.Sprintf("writer %d frame %d", w, i)
				seq, err := l.Append(t.Context(), w%2, []byte(frame), frame)
				if err != nil {
					return err
				}
				mu.Lock()
				acked[w%2][seq] = frame
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for p := range acked {
		got := len(acked[p])
		want := writers / 2 * each
		if got != want {
			t.Fatalf("partition %d: %d different sequences acked, want %d", p, got, want)
		}
		r := readFrom(t, l, p, 1)
		for seq := uint64(1); seq <= writers/2*each; seq++ {
			m := next(t, r)
			if m.Seq != seq || string(m.Data) != acked[p][seq] || m.Stored.IsZero() {
				t.Fatalf("partition %d: got %d %q, want %d %q", p, m.Seq, m.Data, seq, acked[p][seq])
			}
		}
	}
}

func TestPipelinedAppendsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	var sent []*eventlog.Pending
	for i := range 500 {
		p, err := l.AppendAsync(testContext(t), 0, fmt.Appendf(nil, "%d", i), "")
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	for i, p := range sent {
		if seq, err := p.Wait(testContext(t)); err != nil || seq != uint64(i+1) {
			t.Fatalf("append %d: got %d %v", i, seq, err)
		}
	}
}

// L7: a resend of a message id returns the sequence of the first copy.
func TestResendIsAbsorbed(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	for range 3 {
		if seq, err := l.Append(testContext(t), 0, []byte("a"), "id"); err != nil || seq != 1 {
			t.Fatalf("got %d %v, want 1", seq, err)
		}
	}
	wantBounds(t, l, 0, 1, 2)
	wantBounds(t, l, 1, 1, 1)
}

func TestFrameSizes(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	largest := bytes.Repeat([]byte("x"), eventlog.DefaultMaxFrame)
	if _, err := l.Append(testContext(t), 0, largest, "id"); err != nil {
		t.Fatalf("append the largest frame: %v", err)
	}
	if m := next(t, readFrom(t, l, 0, 1)); !bytes.Equal(m.Data, largest) {
		t.Fatal("the largest frame was read back different")
	}
	if m, err := l.Get(testContext(t), 0, 1); err != nil || !bytes.Equal(m.Data, largest) {
		t.Fatalf("get the largest frame: %v", err)
	}
	_, err := l.Append(testContext(t), 0, append(largest, 'x'), "")
	wantError(t, err, eventlog.ErrTooLarge)
	wantBounds(t, l, 0, 1, 2)
	if _, err := l.Append(testContext(t), 2, nil, ""); err == nil {
		t.Error("append to a partition that does not exist: no error")
	}
	if _, err := l.Append(testContext(t), 0, nil, string(make([]byte, 300))); err == nil {
		t.Error("append with a message id of 300 bytes: no error")
	}
}

// L4: a full log refuses messages, loses none that it acknowledged, and accepts messages again
// after a trim.
func TestFullLogLosesNothing(t *testing.T) {
	t.Parallel()
	c := small(newHost(t, t.TempDir()))
	l := openLog(t, c)
	ctx := testContext(t)
	frame := make([]byte, c.MaxBytes/10)
	var stored uint64
	for {
		seq, err := l.Append(ctx, 0, frame, "")
		if errors.Is(err, eventlog.ErrFull) {
			break
		}
		if err != nil || seq > 20 {
			t.Fatalf("append %d: %v", seq, err)
		}
		stored = seq
	}
	wantError(t, l.Healthy(testContext(t)), eventlog.ErrFull)
	if _, err := l.Append(ctx, 1, frame, ""); err != nil {
		t.Fatalf("append to the other partition, which has room: %v", err)
	}
	wantBounds(t, l, 0, 1, stored+1)
	r := readFrom(t, l, 0, 1)
	for range stored {
		next(t, r)
	}
	if err := l.Trim(ctx, 0, 3); err != nil {
		t.Fatal(err)
	}
	if seq, err := l.Append(ctx, 0, frame, ""); err != nil || seq != stored+1 {
		t.Fatalf("append after trim: got %d %v, want %d", seq, err, stored+1)
	}
	if err := l.Healthy(testContext(t)); err != nil {
		t.Fatalf("healthy after trim: %v", err)
	}
}

// A lost ack is ErrUnavailable, because the outcome is unknown: here the message is stored.
func TestLostAckIsUnknown(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	c := small(h)
	c.AckTimeout = 50e6
	l := openLog(t, c)
	h.silence()
	_, err := l.Append(testContext(t), 0, []byte("a"), "")
	wantError(t, err, eventlog.ErrUnavailable)
	h.unmute()
	if m := next(t, readFrom(t, l, 0, 1)); string(m.Data) != "a" {
		t.Fatalf("got %q", m.Data)
	}
}

func TestInFlightIsBounded(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	c := small(h)
	c.MaxFrame = 16 << 10
	c.MaxInFlight = 64 << 10 // four messages of at least 16 KiB
	l := openLog(t, c)
	h.silence()
	var sent []*eventlog.Pending
	for range 4 {
		p, err := l.AppendAsync(testContext(t), 0, []byte("a"), "")
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20e6)
	defer cancel()
	_, err := l.AppendAsync(ctx, 0, []byte("a"), "")
	wantError(t, err, context.DeadlineExceeded)
	h.unmute()
	for i, p := range sent {
		if seq, err := p.Wait(testContext(t)); err != nil || seq != uint64(i+1) {
			t.Fatalf("append %d: got %d %v", i, seq, err)
		}
	}
}

func TestCloseEndsAppendsAndReaders(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	r := readFrom(t, l, 0, 1)
	reading := make(chan error)
	go func() {
		_, err := r.Next(context.Background())
		reading <- err
	}()
	h.silence()
	p, err := l.AppendAsync(testContext(t), 0, []byte("a"), "")
	if err != nil {
		t.Fatal(err)
	}
	h.unmute()
	l.Close()
	l.Close()
	if err := <-reading; err != nil { // The message may have arrived first.
		wantError(t, err, eventlog.ErrClosed)
	}
	if _, err := p.Wait(testContext(t)); err != nil {
		wantError(t, err, eventlog.ErrUnavailable)
	}
	_, err = l.Append(testContext(t), 0, nil, "")
	wantError(t, err, eventlog.ErrClosed)
	wantError(t, l.Healthy(testContext(t)), eventlog.ErrClosed)
}
