package landing

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/record"
)

// TestRebuildSaysWhatIsLost rebuilds an object from a log that has its messages, does not answer, has one message that
// is corrupt, has other messages, and has trimmed them. Only the last three need an operator.
func TestRebuildSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	var w *world
	var landed *record.Commit
	synctest.Test(t, func(t *testing.T) {
		w = newWorld()
		for range 4 {
			w.produce(t, 0, clicked, 3, time.Now())
		}
		w.logs[0].gap = 4
		if err := giveUp(t, w, begin(t, w, 0, testNext), Hole{4, 5, "a bad sector"}); err != nil {
			t.Fatal(err)
		}
		c, err := LoadChain(t.Context(), w, 0)
		if err != nil {
			t.Fatal(err)
		}
		landed = c.Segments[len(c.Segments)-1]
	})
	// Rebuild encodes, which no bubble allows beside other tests.
	n := newNode(w, 7, 7, 0)
	n.near = true
	key := landed.Objects[0].Key
	rebuild := func(ctx context.Context) error {
		w.mu.Lock()
		delete(w.objects, key)
		w.mu.Unlock()
		return Rebuild(ctx, n, store{n}, landed, key, testNext.Bucket)
	}
	if err := rebuild(t.Context()); err != nil || w.objects[key] == nil {
		t.Errorf("the log has the messages: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rebuild(ended); err == nil || errors.Is(err, record.ErrObjectLost) {
		t.Errorf("the log does not answer: got %v, want an error that another run may not meet", err)
	}
	mustBeLost := func(name string) {
		t.Helper()
		if err := rebuild(t.Context()); !errors.Is(err, record.ErrObjectLost) || w.objects[key] != nil {
			t.Errorf("%s: got %v, want ErrObjectLost", name, err)
		}
	}
	first := w.logs[0].frames[0]
	w.logs[0].frames[0] = append([]byte(nil), first...)
	w.logs[0].frames[0][40] ^= 1
	mustBeLost("a corrupt message")
	w.logs[0].frames[0] = w.logs[0].frames[1]
	mustBeLost("another message")
	w.logs[0].frames[0] = first
	w.trim(0, 2)
	mustBeLost("a trimmed message")
}
