package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recount/deploy/embedded/natsserver"
	"recount/deploy/server/feed"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a log with one partition, and a feed over it.
type world struct {
	t    *testing.T
	ctx  context.Context
	log  atomic.Pointer[eventlog.Log]
	feed *feed.Feed
	read atomic.Int64 // messages that the log has handed out
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx}
	w.feed = feed.New(w.open, 8) // So the one partition keeps 8 MiB for readers that lag.
	w.startLog()
	return w
}

// startLog starts a new and empty log.
func (w *world) startLog() {
	w.t.Helper()
	server, err := natsserver.Open(w.ctx, natsserver.DefaultConfig(w.t.TempDir()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(server.Close)
	c := eventlog.DefaultConfig(server)
	c.Partitions = 1
	log, err := eventlog.Open(w.ctx, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(log.Close)
	w.log.Store(log)
}

func (w *world) open(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	r, err := w.log.Load().Read(ctx, p, from)
	if err != nil {
		return nil, err
	}
	return counted{r, &w.read}, nil
}

// counted is a reader of the log that counts.
type counted struct {
	*eventlog.Reader
	read *atomic.Int64
}

func (c counted) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := c.Reader.Next(ctx)
	if err == nil {
		c.read.Add(1)
	}
	return eventbatch.Message{Seq: m.Seq, Frame: m.Data}, err
}

// append appends n frames of a size, and returns them.
func (w *world) append(n, size int, name string) (frames [][]byte) {
	w.t.Helper()
	for i := range n {
		frame := fmt.Appendf(nil, "%s-%d", name, i)
		frame = append(frame, make([]byte, max(0, size-len(frame)))...)
		if _, err := w.log.Load().Append(w.ctx, 0, frame, ""); err != nil {
			w.t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

func (w *world) reader() eventbatch.Reader {
	w.t.Helper()
	r, err := w.feed.Read(w.ctx, 0, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

// expect reads the frames, of which the first is message seq.
func expect(ctx context.Context, r eventbatch.Reader, seq uint64, frames [][]byte) error {
	for _, want := range frames {
		m, err := r.Next(ctx)
		if err != nil {
			return fmt.Errorf("message %d: %w", seq, err)
		}
		if m.Seq != seq || !bytes.Equal(m.Frame, want) {
			return fmt.Errorf("got message %d %.20q, want %d %.20q", m.Seq, m.Frame, seq, want)
		}
		seq++
	}
	return nil
}

// TestShare lets two readers read at once, and expects that the log handed out little more than once what each got.
func TestShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.append(1, 0, "first")
	readers := []eventbatch.Reader{w.reader(), w.reader()}
	for _, r := range readers {
		if err := expect(w.ctx, r, 1, first); err != nil {
			t.Fatal(err)
		}
	}
	const n = 300
	var group sync.WaitGroup
	errs := make([]error, len(readers))
	var frames [][]byte
	for i := range n {
		frames = append(frames, fmt.Appendf(nil, "more-%d", i))
	}
	for i, r := range readers {
		group.Go(func() { errs[i] = expect(w.ctx, r, 2, frames) })
	}
	w.append(n, 0, "more")
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := w.read.Load(); got > n+n/2 {
		t.Errorf("the log handed out %d messages for two readers of %d", got, n+1)
	}
}

// TestLag lets one reader lag by more than the feed keeps. It must get every message all the same, and join again.
func TestLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.reader()
	fast := w.reader()
	frames := w.append(20, 1<<20, "large")
	for _, r := range []eventbatch.Reader{fast, slow} {
		if err := expect(w.ctx, r, 1, frames[:2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := expect(w.ctx, fast, 3, frames[2:]); err != nil {
		t.Fatal(err)
	}
	if err := expect(w.ctx, slow, 3, frames[2:]); err != nil {
		t.Fatal(err)
	}
	more := w.append(10, 0, "more")
	before := w.read.Load()
	for i := range more {
		for _, r := range []eventbatch.Reader{fast, slow} {
			if err := expect(w.ctx, r, uint64(21+i), more[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := w.read.Load() - before; got > 15 {
		t.Errorf("the log handed out %d messages for 10, so the slow reader has not joined again", got)
	}
}

// TestTurn ends the context of the reader that waits for the log. The other one must take over.
func TestTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	frames := w.append(1, 0, "first")
	impatient := w.reader()
	patient := w.reader()
	for _, r := range []eventbatch.Reader{impatient, patient} {
		if err := expect(w.ctx, r, 1, frames); err != nil {
			t.Fatal(err)
		}
	}
	// The second reader joins when it asks for the next message.
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 2)
	go func() { ended <- expect(ctx, impatient, 2, [][]byte{[]byte("later-0")}) }()
	done := make(chan error, 1)
	go func() { done <- expect(w.ctx, patient, 2, [][]byte{[]byte("later-0")}) }()
	cancel()
	if err := <-ended; err == nil {
		t.Error("a message arrived that nobody appended")
	}
	w.append(1, 0, "later")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := expect(w.ctx, impatient, 2, [][]byte{[]byte("later-0")}); err != nil {
		t.Error(err)
	}
}

// TestOtherLog replaces the log by one with other messages. A reader that has to open it again must not continue in it.
func TestOtherLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	frames := w.append(3, 0, "old")
	r := w.reader()
	if err := expect(w.ctx, r, 1, frames); err != nil {
		t.Fatal(err)
	}
	old := w.log.Load()
	w.startLog()
	w.append(5, 0, "new")
	old.Close()
	var err error
	for range 2 { // The first error is that the old log is closed.
		_, err = r.Next(w.ctx)
	}
	if !errors.Is(err, position.ErrGap) {
		t.Errorf("got %v, want a gap", err)
	}
}

// TestClose closes readers in turn. The others continue.
func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	frames := w.append(30, 0, "event")
	readers := []eventbatch.Reader{w.reader(), w.reader(), w.reader()}
	for i := range frames {
		for k, r := range readers {
			if i == 10*(k+1) {
				r.Close()
			}
			if i >= 10*(k+1) {
				continue
			}
			if err := expect(w.ctx, r, uint64(i+1), frames[i:i+1]); err != nil {
				t.Fatalf("reader %d: %v", k, err)
			}
		}
	}
}
