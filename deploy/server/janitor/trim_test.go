package janitor

import (
	"slices"
	"testing"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// TestNeeded: each of those who read the log holds it, when it is the one furthest behind (L6).
func TestNeeded(t *testing.T) {
	t.Parallel()
	if failpoint.Off(failpoint.L6) {
		t.Skip("L6 is turned off")
	}
	view := func(snapshot, through uint64) []realtime.PartitionStatus {
		return []realtime.PartitionStatus{{Snapshot: snapshot, Through: position.Offset{Seq: through}}}
	}
	for name, c := range map[string]struct {
		kept, head uint64
		own        []realtime.PartitionStatus
		want       uint64
	}{
		"nothing is published":            {0, 9, nil, 0},
		"the oldest kept publication":     {7, 9, nil, 7},
		"a lander that is behind":         {7, 5, nil, 5},
		"own views that are further":      {7, 9, view(8, 11), 7},
		"the newest snapshot":             {7, 9, view(6, 11), 6},
		"own views without a snapshot":    {7, 9, view(0, 11), 0},
		"own views that are still behind": {7, 9, view(8, 4), 4},
	} {
		chains := []*record.Chain{{Head: position.Offset{Seq: c.head}}}
		if got := Needed([]position.Offset{{Seq: c.kept}}, chains, c.own); !slices.Equal(got, []uint64{c.want}) {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
