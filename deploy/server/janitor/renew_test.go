package janitor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// firstDown is a log whose partition 0 does not answer.
type firstDown struct{ *eventlog.Log }

func (f firstDown) Bounds(ctx context.Context, p int) (first, next uint64, err error) {
	if p == 0 {
		return 0, 0, errors.New("no answer")
	}
	return f.Log.Bounds(ctx, p)
}

// TestRenewGoesOnAfterAnError: a partition whose log does not answer keeps no other one from following its epoch.
func TestRenewGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	rule := position.CutRule{Interval: time.Minute, Rows: 100, Bytes: 1 << 20}
	epochs := []position.EpochStart{{Epoch: 1, Start: 1, Rule: rule}}
	start := realtime.PartitionStart{Epochs: epochs, OldestKept: 1, LogNext: 1}
	c := &catalog.Catalog{Bucket: time.Hour}
	views, err := realtime.Open(realtime.DefaultConfig(t.TempDir()), c, []realtime.PartitionStart{start, start}, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := firstDown{freshLog(t, 2)}
	marks, err := OpenMarks(t.TempDir(), log, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	chains := []*record.Chain{{}, {}}
	for p, chain := range chains {
		chain.Partition = p
		chain.Head = position.Offset{Epoch: 2, Seq: 1}
		chain.Epochs = append(slices.Clone(epochs), position.EpochStart{Epoch: 2, Start: 1, Rule: rule})
	}
	r := Renewal{Log: log, Marks: marks, Views: views,
		Chains: func(context.Context) ([]*record.Chain, error) { return chains, nil }}
	renewed, err := r.Renew(t.Context(), []position.Offset{{Seq: 1}, {Seq: 1}},
		[]position.Offset{{Epoch: 2, Seq: 1}, {Epoch: 2, Seq: 1}})
	if err == nil || !slices.Equal(renewed, []int{1}) {
		t.Errorf("got the partitions %v and %v, want partition 1 and the error of partition 0", renewed, err)
	}
}
