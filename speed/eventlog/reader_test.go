package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// A reader waits while the server restarts and then continues at the sequence it wants.
func TestReaderResumesAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHost(t, dir)
	l := openLog(t, small(h))
	appendN(t, l, 0, 3)
	r := readFrom(t, l, 0, 2)
	if m := next(t, r); m.Seq != 2 {
		t.Fatalf("got %d, want 2", m.Seq)
	}
	h.stop()
	_, err := l.Append(testContext(t), 0, []byte("lost"), "")
	wantError(t, err, eventlog.ErrUnavailable)
	if l.Healthy(testContext(t)) == nil {
		t.Error("the log is healthy without a server")
	}
	h.start(natsserver.DefaultConfig(dir))
	appendWhenBack(t, l)
	for want := uint64(3); want <= 4; want++ {
		if m := next(t, r); m.Seq != want {
			t.Fatalf("got %d, want %d", m.Seq, want)
		}
	}
	if err := l.Healthy(testContext(t)); err != nil {
		t.Errorf("healthy after the restart: %v", err)
	}
}

// appendWhenBack appends one message as soon as the server accepts it.
func appendWhenBack(t *testing.T, l *eventlog.Log) {
	t.Helper()
	ctx := testContext(t)
	for {
		_, err := l.Append(ctx, 0, []byte("back"), "back")
		if err == nil {
			return
		}
		if !errors.Is(err, eventlog.ErrUnavailable) && !errors.Is(err, eventlog.ErrHalted) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// A server that restarts without the end of its log gives the lost sequences to new messages. A reader
// that had read the lost messages must not wait for later ones.
func TestLostTailIsAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older := t.TempDir()
	h := newHost(t, dir)
	l := openLog(t, small(h))
	appendN(t, l, 0, 3)
	h.stop()
	if err := os.CopyFS(older+"/log", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	h.start(natsserver.DefaultConfig(dir))
	appendWhenBack(t, l)
	appendN(t, l, 0, 2)
	r := readFrom(t, l, 0, 4)
	for range 3 {
		next(t, r)
	}
	h.stop()
	h.start(natsserver.DefaultConfig(older + "/log"))
	_, err := r.Next(testContext(t))
	wantError(t, err, position.GapError{Partition: 0, Want: 7, Got: 4})
}

// A log lost its end while a reader was disconnected, and was then filled again beyond that end. It has
// another message where the reader stopped, so the next message does not follow what was read.
func TestRefilledLogIsAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older := t.TempDir()
	h := newHost(t, dir)
	l := openLog(t, small(h))
	appendN(t, l, 0, 3)
	h.stop()
	if err := os.CopyFS(older+"/log", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	h.start(natsserver.DefaultConfig(dir))
	appendWhenBack(t, l)
	appendN(t, l, 0, 2)
	r := readFrom(t, l, 0, 4)
	for range 3 {
		next(t, r)
	}
	h.stop()
	refilled := newHost(t, older+"/log")
	other := openLog(t, small(refilled))
	for n := range 9 {
		if _, err := other.Append(testContext(t), 0, []byte{byte(n)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	other.Close()
	refilled.stop()
	h.start(natsserver.DefaultConfig(older + "/log"))
	var gap position.GapError
	if m, err := r.Next(testContext(t)); !errors.As(err, &gap) || gap.Want != 7 {
		t.Fatalf("got message %d %q and error %v, want a gap at 7", m.Seq, m.Data, err)
	}
}

// C7: a missing message in the middle stops the reader.
func TestMissingMessageIsAGap(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	s := replaceStream(t, admin(t, h))
	appendN(t, l, 0, 5)
	if err := s.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	r := readFrom(t, l, 0, 1)
	next(t, r)
	next(t, r)
	for range 2 { // Every further call says the same.
		_, err := r.Next(testContext(t))
		wantError(t, err, position.GapError{Partition: 0, Want: 3, Got: 4})
	}
	_, err := l.Get(testContext(t), 0, 3)
	wantError(t, err, eventlog.ErrNotFound)
}

// A delivery may be lost between the server and an overloaded client. That is not a gap in the log.
func TestLostDeliveryIsNoGap(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	appendN(t, l, 0, 5)
	r := readFrom(t, l, 0, 1)
	s, err := admin(t, h).Stream(t.Context(), "recount-p0")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for info := range s.ListConsumers(t.Context()).Info() {
		c, err := s.Consumer(t.Context(), info.Name)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.Fetch(3)
		if err != nil {
			t.Fatal(err)
		}
		for range batch.Messages() {
			taken++
		}
	}
	if taken != 3 {
		t.Fatalf("fetched %d messages from the reader's consumer, want 3", taken)
	}
	for want := uint64(1); want <= 5; want++ {
		if m := next(t, r); m.Seq != want {
			t.Fatalf("got %d, want %d", m.Seq, want)
		}
	}
}

// replaceStream replaces the log's stream by one that allows the deletion of messages.
func replaceStream(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	if err := js.DeleteStream(t.Context(), "recount-p0"); err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "recount-p0", Subjects: []string{"recount.p0"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A reader believes an answer that reports a gap or a trimmed log only if the server repeats it. A
// digit that was corrupted on the way must not stop a partition for good.
func TestCorruptAnswerIsNoGap(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	appendN(t, l, 0, 5)
	for name, change := range map[string][2]string{"a lost tail": {`"last_seq":5`, `"last_seq":1`},
		"a trimmed log": {`"first_seq":1`, `"first_seq":9`}} {
		for _, corrupted := range []int{1, 2} {
			left := corrupted
			h.corruptWith(func(p []byte) {
				if i := bytes.Index(p, []byte(change[0])); i >= 0 && left > 0 {
					copy(p[i:], change[1])
					left--
				}
			})
			r, err := l.Read(testContext(t), 0, 4)
			if err != nil {
				t.Fatalf("%s in %d answers: %v", name, corrupted, err)
			}
			if m := next(t, r); m.Seq != 4 || left != 0 {
				t.Errorf("%s in %d answers: got message %d, want 4; %d answers were left to corrupt", name, corrupted,
					m.Seq, left)
			}
			r.Close()
		}
	}
	h.corruptWith(func(p []byte) {
		if i := bytes.Index(p, []byte(`"last_seq":5`)); i >= 0 {
			copy(p[i:], `"last_seq":1`)
		}
	})
	_, err := l.Read(testContext(t), 0, 4)
	if !errors.Is(err, position.ErrGap) {
		t.Errorf("a lost tail in every answer: got %v, want a gap", err)
	}
	h.corruptWith(func(p []byte) {
		if i := bytes.Index(p, []byte(`"seq":4,`)); i >= 0 {
			p[i+len(`"seq":`)] = '5'
		}
	})
	if m, err := l.Get(testContext(t), 0, 4); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("another message than the wanted one: got %d and error %v, want ErrUnavailable", m.Seq, err)
	}
	h.corruptWith(nil)
}

func TestReadOutsideTheLog(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	ctx := testContext(t)
	appendN(t, l, 0, 5)
	if err := l.Trim(ctx, 0, 3); err != nil {
		t.Fatal(err)
	}
	_, err := l.Read(ctx, 0, 2)
	wantError(t, err, position.ErrTrimmed)
	_, err = l.Get(ctx, 0, 2)
	wantError(t, err, position.ErrTrimmed)
	_, err = l.Get(ctx, 0, 6)
	wantError(t, err, eventlog.ErrNotFound)
	_, err = l.Read(ctx, 0, 7)
	wantError(t, err, position.GapError{Partition: 0, Want: 7, Got: 6})
	if _, err = l.Read(ctx, 0, 0); err == nil {
		t.Error("read from 0: got no error")
	}
	if m := next(t, readFrom(t, l, 0, 3)); m.Seq != 3 {
		t.Errorf("first message is %d, want 3", m.Seq)
	}
}

// A reader that a trim overtook gets ErrTrimmed and does not skip messages.
func TestReaderOvertakenByTrim(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	ctx := testContext(t)
	var last *eventlog.Pending
	for range 1200 { // more than a reader prefetches
		p, err := l.AppendAsync(ctx, 0, []byte("frame"), "")
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if _, err := last.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	r := readFrom(t, l, 0, 1)
	next(t, r)
	if err := l.Trim(ctx, 0, 1199); err != nil {
		t.Fatal(err)
	}
	var err error
	for want := uint64(2); err == nil; want++ { // The prefetched messages still arrive.
		var m eventlog.Message
		if m, err = r.Next(ctx); err == nil && m.Seq != want {
			t.Fatalf("got %d, want %d", m.Seq, want)
		}
	}
	wantError(t, err, position.ErrTrimmed)
}

func TestNextHonoursItsContext(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	r := readFrom(t, l, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context canceled", err)
	}
	appendN(t, l, 0, 1)
	if m := next(t, r); m.Seq != 1 {
		t.Fatalf("after a cancelled wait: got %d, want 1", m.Seq)
	}
	r.Close()
	_, err := r.Next(t.Context())
	wantError(t, err, eventlog.ErrClosed)
}
