package position

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var rule = CutRule{Interval: time.Second, Rows: 10, Bytes: 1000}

const second = int64(1e6)

func TestCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		messages []Message
		want     []uint64 // sequences that begin a segment
	}{
		"rows":              {[]Message{{1, 6, 10, 0}, {2, 4, 10, 0}, {3, 1, 10, 0}}, []uint64{3}},
		"bytes":             {[]Message{{1, 1, 600, 0}, {2, 1, 400, 0}, {3, 1, 1, 0}}, []uint64{3}},
		"one large message": {[]Message{{1, 50, 5000, 0}, {2, 1, 1, 0}}, []uint64{2}},
		"interval": {[]Message{{1, 1, 1, second - 1}, {2, 1, 1, second}, {3, 1, 1, 2*second - 1}},
			[]uint64{2}},
		"heartbeat ends it": {[]Message{{1, 1, 1, 0}, {2, 0, 24, second}, {3, 1, 1, 9 * second}}, []uint64{2}},
		"clock goes back":   {[]Message{{1, 1, 1, 5 * second}, {2, 1, 1, 0}}, nil},
		"heartbeat of a clock that lags": {[]Message{{1, 1, 1, 5 * second}, {2, 1, 1, 0}, {3, 0, 24, 0}, {4, 1, 1, 0}},
			[]uint64{3}},
		"idle is not cut":        {[]Message{{1, 0, 24, 0}, {2, 0, 24, 9 * second}}, nil},
		"new epoch always cuts":  {[]Message{{1, 1, 1, 0}, {7, 1, 1, 0}}, []uint64{7}},
		"first message of epoch": {[]Message{{7, 1, 1, 0}, {8, 1, 1, 0}}, nil},
	} {
		cutter := NewCutter([]EpochStart{{1, 1, rule}, {2, 7, rule}}, c.messages[0].Seq)
		var got []uint64
		for _, m := range c.messages {
			if cutter.Add(m) {
				got = append(got, m.Seq)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestCutsDoNotDependOnTheStart is C1 and I4: a reader that starts at any cut point
// finds the cut points a reader from the beginning finds.
func TestCutsDoNotDependOnTheStart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var messages []Message
		now := int64(0)
		for seq := First; seq < First+uint64(rapid.IntRange(1, 60).Draw(t, "n")); seq++ {
			now += rapid.Int64Range(-second/4, second).Draw(t, "pause")
			messages = append(messages,
				Message{seq, rapid.Int64Range(0, 6).Draw(t, "events"), rapid.Int64Range(1, 300).Draw(t, "bytes"),
					max(now, 0)})
		}
		epochs := []EpochStart{{1, 1, rule}, {2, 20, CutRule{2 * time.Second, 5, 500}}}
		cuts := func(from uint64) (out []uint64) {
			c := NewCutter(epochs, from)
			for _, m := range messages {
				if m.Seq >= from && c.Add(m) {
					out = append(out, m.Seq)
				}
			}
			return out
		}
		all := cuts(First)
		for i, start := range all {
			if diff := cmp.Diff(all[i+1:], cuts(start)); diff != "" && len(all[i+1:]) > 0 {
				t.Fatalf("from %d: %s", start, diff)
			}
		}
	})
}

func TestDue(t *testing.T) {
	t.Parallel()
	c := NewCutter([]EpochStart{{1, 1, rule}}, 1)
	if _, due := c.Due(); due {
		t.Error("an empty segment is due")
	}
	c.Add(Message{1, 1, 1, second + 5})
	at, due := c.Due()
	if !due || at != 2*second {
		t.Errorf("got %d, %v", at, due)
	}
	if !c.Add(Message{2, 0, 24, at}) {
		t.Error("a heartbeat at the due time does not cut")
	}
}
