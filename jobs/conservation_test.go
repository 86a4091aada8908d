package jobs

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// books are one partition whose log holds messages 3 to 8 of ten events each. Messages 1 to
// 6 have landed, those below 5 are published; 2 of the events are dead letters.
func books() *Books {
	segment := func(start, end uint64, objects ...record.Object) *record.Commit {
		c := &record.Commit{Kind: record.Segment, Epoch: 1, Start: start, End: end, Objects: objects}
		for _, o := range objects {
			c.Events += o.Rows
		}
		return c
	}
	promised := int64(80)
	h := position.Offset{Epoch: 1, Seq: 5}
	return &Books{
		Catalog: &catalog.Catalog{
			Events: map[string]*catalog.EventType{"hit": {Name: "hit"}},
			Views:  map[string]*catalog.View{"hits": {Name: "hits", Event: "hit"}},
		},
		Partitions: []PartitionBooks{{
			Landed: []*record.Commit{
				segment(1, 3, record.Object{Type: "hit", Rows: 20}),
				segment(3, 5, record.Object{Type: "hit", Rows: 15}, record.Object{Type: deadletter.Type, Rows: 2}, record.Object{Type: "old", Rows: 3}),
				segment(5, 7, record.Object{Type: "hit", Rows: 20}),
			},
			Head: position.Offset{Epoch: 1, Seq: 7}, First: 3, Next: 9, Acknowledged: &promised,
			Headers: func(_ context.Context, from, to uint64, each func(uint64, eventbatch.Header)) error {
				for seq := from; seq < to; seq++ {
					each(seq, eventbatch.Header{Kind: eventbatch.Events, Events: 10})
				}
				return nil
			},
		}},
		States: []*record.State{
			{N: 1, H: []position.Offset{{Epoch: 1, Seq: 3}}, Publication: &record.Publication{N: 1, Events: 20},
				Views: map[string]record.ViewState{"hits": {}}, Types: map[string][]record.BucketCount{"hit": {{Rows: 20}}}},
			{N: 2, H: []position.Offset{h}, Publication: &record.Publication{N: 2, Events: 40},
				Views: map[string]record.ViewState{"hits": {}}, Types: map[string][]record.BucketCount{"hit": {{Rows: 30, Duplicates: 4}, {Bucket: 1, Rows: 5}}}},
		},
		Counted: map[string]int64{"hits": 31},
	}
}

func TestConservation(t *testing.T) {
	t.Parallel()
	got, err := books().Conserve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	promised, twenty := int64(80), int64(20)
	want := &Audit{
		Partitions: []PartitionAudit{{Acknowledged: &promised, Logged: 80, Ranges: []RangeAudit{
			{From: 1, To: 3, Publication: 1, Landed: 20, Published: 20},
			{From: 3, To: 5, Publication: 2, Logged: &twenty, Landed: 20, Published: 20, Rejected: 2},
			{From: 5, To: 7, Logged: &twenty, Landed: 20},
			{From: 7, To: 9, Logged: &twenty, Waiting: 20},
		}}},
		Publications: []PublicationAudit{
			{Publication: 1, Landed: 20, Published: 20, Counted: 20},
			{Publication: 2, Landed: 40, Published: 40, Counted: 31, Duplicates: 4, Rejected: 2, Uncounted: 3},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestResidue takes events out at one tier at a time.
func TestResidue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(*Books)
		want  int64
	}{
		"promised and not logged":  {func(b *Books) { *b.Partitions[0].Acknowledged += 3 }, 3},
		"given up by a seal":       {func(b *Books) { *b.Partitions[0].Acknowledged += 3; b.Partitions[0].Voided = 3 }, 0},
		"logged and not landed":    {func(b *Books) { b.Partitions[0].Landed = b.Partitions[0].Landed[:2] }, 20 + 20},
		"given up by an operator":  {func(b *Books) { giveUp(b) }, 0},
		"landed and not published": {func(b *Books) { b.States[1].Publication.Events-- }, 1},
		"missing in a type":        {func(b *Books) { b.States[1].Types["hit"][1].Rows-- }, 1 + 1},
		"missing in rows":          {func(b *Books) { b.Counted["hits"]-- }, 1},
	} {
		b := books()
		c.fault(b)
		a, err := b.Conserve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.Residue != c.want {
			t.Errorf("%s: residue %d, want %d: %+v", name, a.Residue, c.want, a)
		}
	}
}

// giveUp puts a hole in the place of the last segment.
func giveUp(b *Books) {
	p := &b.Partitions[0]
	p.Landed, p.Holes = p.Landed[:2], []*record.Commit{{Kind: record.Hole, Epoch: 1, Start: 5, End: 7, Reason: "the disk"}}
}
