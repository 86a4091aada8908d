package landing

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// giveUp gives up a range of partition 0, with the log as the judge of what can be read.
func giveUp(t *testing.T, w *world, c *record.Chain, hole Hole) error {
	t.Helper()
	n := newNode(w, 7, 7, 0)
	readable := func(_ context.Context, seq uint64) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if seq > uint64(len(w.logs[0].frames)) || seq == w.logs[0].gap {
			return false, nil
		}
		_, err := eventbatch.ReadHeader(w.logs[0].frames[seq-1])
		return err == nil, nil
	}
	return GiveUp(t.Context(), Config{Encode: encodeOutside}, c, hole, n, n, store{n}, readable)
}

// TestGiveUp gives up a message that is missing (C7). The messages before it land, the record says what was
// given up and why, and the next epoch begins after it. Other ranges are refused and change nothing.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for range 6 {
			w.produce(t, 0, clicked, 3, time.Now())
		}
		w.logs[0].gap = 4
		c := begin(t, w, 0, testNext)
		for name, refused := range map[string]struct {
			hole Hole
			want string
		}{
			"a readable message":            {Hole{3, 5, "x"}, "message 3 can be read"},
			"a readable message at the end": {Hole{4, 6, "x"}, "message 5 can be read"},
			"no reason":                     {Hole{4, 5, ""}, "needs a message and a reason"},
			"no message":                    {Hole{4, 4, "x"}, "needs a message and a reason"},
		} {
			if err := giveUp(t, w, c, refused.hole); !errors.Is(err, ErrRefused) ||
				!strings.Contains(err.Error(), refused.want) {
				t.Errorf("%s: got %v, want a refusal with %q", name, err, refused.want)
			}
		}
		if err := giveUp(t, w, c, Hole{4, 5, "a bad sector"}); err != nil {
			t.Fatal(err)
		}
		after, err := LoadChain(t.Context(), w, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := (position.Offset{Epoch: 2, Seq: 5}); after.Head != want || after.Events != 9 ||
			len(after.Holes) != 1 || after.Holes[0].Start != 4 || after.Holes[0].Reason != "a bad sector" {
			t.Errorf("got the head %v, %d events, holes %+v, want the head %v and 9 events", after.Head, after.Events,
				after.Holes, want)
		}
		earlier := (*GivenUpError)(nil)
		if err := giveUp(t, w, after, Hole{4, 5, "again"}); !errors.As(err, &earlier) || errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), "messages [4, 5) were given up at ") ||
			!strings.HasSuffix(err.Error(), ": a bad sector") {
			t.Errorf("the same range again: got %v", err)
		}
		for hole, want := range map[Hole]string{
			{4, 6, "x"}: "name only the messages from 5 on",
			{3, 5, "x"}: "everything below message 5 has landed or was given up",
			{3, 4, "x"}: "everything below message 5 has landed or was given up",
		} {
			if err := giveUp(t, w, after, hole); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v after [4, 5): got %v, want %q", hole, err, want)
			}
		}
		w.logs[0].gap = 5
		w.logs[0].frames[5][40] ^= 1
		if err := giveUp(t, w, after, Hole{6, 7, "corrupt"}); !errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), "a message before it cannot be read either") {
			t.Errorf("a range after another one that cannot be read: got %v", err)
		}
	})
}
