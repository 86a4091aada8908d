package janitor

import (
	"testing"

	"recount/schemas/position"
	"recount/schemas/record"
)

func TestReplayFrom(t *testing.T) {
	t.Parallel()
	c := &record.Chain{Head: position.Offset{Epoch: 3, Seq: 20},
		Epochs:   []position.EpochStart{{Epoch: 1, Start: 1}, {Epoch: 2, Start: 12}},
		Segments: []*record.Commit{{Start: 1, End: 6}, {Start: 6, End: 9}, {Start: 14, End: 20}}}
	for first, want := range map[uint64]uint64{1: 1, 2: 6, 6: 6, 7: 9, 10: 12, 13: 14, 15: 20, 20: 20} {
		if got := ReplayFrom(c, first); got != want {
			t.Errorf("a log whose first message is %d is replayed from %d, want %d", first, got, want)
		}
	}
	c.Holes = []*record.Commit{{Kind: record.Hole, Start: 9, End: 14}}
	if got := ReplayFrom(c, 1); got != 14 {
		t.Errorf("a log with a hole up to 14 is replayed from %d, want 14 (C7)", got)
	}
}
