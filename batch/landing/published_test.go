package landing

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/position"
	"recount/schemas/record"
)

// landOnce lands what the log holds, and returns the chain.
func landOnce(t *testing.T, w *world, published Published) *record.Chain {
	t.Helper()
	c, err := Begin(t.Context(), w, 0, testNext, published)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := newLander(t, Config{Published: published}, newNode(w, 1, 1, 0), c)
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx) }()
	time.Sleep(10 * time.Second)
	cancel()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	return l.Chains()[0]
}

// TestNothingLandsBelowThePublication is C10: where published records are missing, a chain gets no record, until they
// are back. A publication that is known to be missing stops a whole chain too.
func TestNothingLandsBelowThePublication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.produce(t, 0, clicked, 3, time.Now())
		c := landOnce(t, w, nil)
		publication := &record.Publication{N: 1, H: []position.Offset{c.Head}, Tips: []string{c.Tip}}
		var missing atomic.Bool
		published := func(context.Context) (*record.Publication, error) {
			if missing.Load() {
				return publication, record.ErrMissing
			}
			return publication, nil
		}
		whole := maps.Clone(w.Bodies)
		for _, lost := range []string{c.LastKey(), ""} {
			missing.Store(lost == "")
			delete(w.Bodies, lost)
			records := len(w.Bodies)
			other := testNext
			other.Rule.Rows++
			short, err := Begin(t.Context(), w, 0, other, published)
			if !errors.Is(err, record.ErrMissing) || !strings.Contains(err.Error(), lost) {
				t.Errorf("Begin: %v, want an error that names %q", err, lost)
			}
			w.produce(t, 0, clicked, 3, time.Now())
			l := newLander(t, Config{Published: published}, newNode(w, 2, 1, 0), short)
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- l.Run(ctx) }()
			time.Sleep(10 * time.Second)
			n := countRecords(t, w)
			if err := l.Stopped(); !errors.Is(err, record.ErrMissing) || n != records {
				t.Errorf("%d of %d records, stopped: %v; want no new record and an alarm", n, records, err)
			}
			if lost != "" {
				if _, _, err := w.Create(t.Context(), lost, whole[lost]); err != nil {
					t.Fatal(err)
				}
			}
			missing.Store(false)
			time.Sleep(10 * time.Second)
			n = countRecords(t, w)
			if err := l.Stopped(); err != nil || n <= len(whole) {
				t.Errorf("the records are back: %d, stopped: %v; want that it lands on", n, err)
			}
			cancel()
			if err := <-result; err != nil {
				t.Error(err)
			}
			w.Bodies = maps.Clone(whole)
		}
	})
}

// TestForkIsExplained puts a record back over the one that was created in its place. The error says which records to
// move away, unless a publication covers them.
func TestForkIsExplained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.produce(t, 0, clicked, 3, time.Now())
		first := landOnce(t, w, nil)
		w.produce(t, 0, clicked, 3, time.Now())
		second := landOnce(t, w, nil)
		restored, err := record.DecodeCommit(w.Bodies[first.LastKey()])
		if err != nil {
			t.Fatal(err)
		}
		restored.Attempt = "another"
		if w.Bodies[first.LastKey()], err = restored.Encode(); err != nil {
			t.Fatal(err)
		}
		fork := first.NextKey()
		if _, err := LoadChain(t.Context(), w, 0); !errors.Is(err, record.ErrInvalid) ||
			!strings.Contains(err.Error(), "move "+fork) {
			t.Errorf("got %v, want an error that says to move %s away", err, fork)
		}
		raw, err := (&record.Publication{N: 1, H: []position.Offset{second.Head}, Tips: []string{second.Tip},
			Views: map[string]*record.PublishedView{}}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.Bodies[record.PublicationKey(1)] = raw
		if _, err := LoadChain(t.Context(), w, 0); !errors.Is(err, record.ErrInvalid) ||
			!strings.Contains(err.Error(), "publication 1 covers") {
			t.Errorf("got %v, want an error that says to restore the record", err)
		}
	})
}

// countRecords counts the records while others may write some.
func countRecords(t *testing.T, w *world) int {
	t.Helper()
	keys, err := w.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return len(keys)
}
