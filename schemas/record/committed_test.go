package record

import (
	"slices"
	"testing"
	"time"

	"recount/schemas/position"
)

// TestCommittedObjects: segments below H count, whole, in their order, but for those of other types and retired ones.
func TestCommittedObjects(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	segment := func(start, end uint64, created time.Time, objects ...Object) *Commit {
		return &Commit{Kind: Segment, Start: start, End: end, Created: created, Objects: objects}
	}
	chains := []*Chain{
		{Segments: []*Commit{
			segment(1, 5, day.Add(-time.Hour), Object{Type: "hit", Key: "a"}),
			segment(5, 9, day, Object{Type: "sale", Key: "b"}, Object{Type: "hit", Key: "c"},
				Object{Type: "hit", Key: "d"}),
			segment(9, 12, day, Object{Type: "hit", Key: "e"}),
		}},
		{Segments: []*Commit{segment(1, 3, day, Object{Type: "hit", Key: "f"})}},
	}
	for _, c := range []struct {
		h        []position.Offset
		horizons Horizons
		want     []string
	}{
		{[]position.Offset{{Epoch: 1, Seq: 12}, {Epoch: 1, Seq: 3}}, nil, []string{"a", "c", "d", "e", "f"}},
		{[]position.Offset{{Epoch: 2, Seq: 9}, {Epoch: 1, Seq: 3}}, nil, []string{"a", "c", "d", "f"}},
		{[]position.Offset{{Epoch: 1, Seq: 11}, {Epoch: 1, Seq: 1}}, nil, []string{"a", "c", "d"}},
		{[]position.Offset{{Epoch: 1, Seq: 12}, {Epoch: 1, Seq: 3}}, Horizons{"hit": day, "sale": day.Add(1)},
			[]string{"c", "d", "e", "f"}},
		{[]position.Offset{{}, {}}, nil, nil},
	} {
		var got []string
		for segment, o := range CommittedObjects(chains, c.h, c.horizons, "hit") {
			got = append(got, o.Key)
			if !slices.ContainsFunc(segment.Objects, func(other Object) bool { return other.Key == o.Key }) {
				t.Errorf("%s comes with another segment", o.Key)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("below %v with %v: %v, want %v", c.h, c.horizons, got, c.want)
		}
		for range CommittedObjects(chains, c.h, c.horizons, "hit") {
			break // A caller may stop early.
		}
	}
}
