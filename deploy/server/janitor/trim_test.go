package janitor

import (
	"slices"
	"testing"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// TestNeeded expects the log to keep what its slowest reader needs, whichever reader that is (L6).
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
		"nothing is published":              {0, 9, nil, 0},
		"the publication lags most":         {7, 9, nil, 7},
		"the lander lags most":              {7, 5, nil, 5},
		"the views are ahead of all":        {7, 9, view(8, 11), 7},
		"the newest snapshot lags most":     {7, 9, view(6, 11), 6},
		"the views have no snapshot":        {7, 9, view(0, 11), 0},
		"the offset of the views lags most": {7, 9, view(8, 4), 4},
	} {
		chains := []*record.Chain{{Head: position.Offset{Seq: c.head}}}
		if got := Needed([]position.Offset{{Seq: c.kept}}, chains, c.own); !slices.Equal(got, []uint64{c.want}) {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
