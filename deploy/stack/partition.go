package stack

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"recount/batch/landing"
	"recount/schemas/fault"
	"recount/schemas/record"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// beginPartition loads a partition's commit chain and decides L5 before anything is
// accepted: when the log has lost its end, or another log sits in its place, the
// epoch is sealed and the log goes on behind everything that has landed.
func beginPartition(ctx context.Context, cfg Config, e *engines, high *highWater, p int, logger *slog.Logger) (*record.Chain, error) {
	next := record.Next{Epoch: 1, Rule: cfg.CutRule(), Bucket: cfg.Batch.Bucket, Partitions: cfg.Log.Partitions}
	chain, err := landing.Begin(ctx, e.records, p, next)
	if err != nil {
		return nil, err
	}
	verdict, err := judge(ctx, cfg, e.log, high, chain)
	if err != nil {
		return nil, err
	}
	if !verdict.Seal {
		return chain, nil
	}
	logger.Error("acknowledged events may be lost: the log is not what it was; sealing its epoch",
		"partition", p, "epoch", chain.Head.Epoch, "head", chain.Head.Seq, "next", verdict.Next, "reason", verdict.Reason)
	fault.Point("log.seal.before")
	if err := landing.SealEpoch(ctx, e.records, chain, cfg.CutRule(), verdict.Reason); err != nil {
		return nil, fmt.Errorf("seal the epoch: %w", err)
	}
	fault.Point("log.seal.after")
	// Sealing may have found a segment that a zombie landed meanwhile, so the head is asked
	// again: a message appended below it would never be read.
	_, end, err := e.log.Bounds(ctx, p)
	if err != nil {
		return nil, err
	}
	if end < chain.Head.Seq {
		if err := e.log.Advance(ctx, p, chain.Head.Seq); err != nil {
			return nil, fmt.Errorf("move the log to its chain head: %w", err)
		}
	}
	return chain, high.forget(p)
}

func judge(ctx context.Context, cfg Config, log *eventlog.Log, high *highWater, chain *record.Chain) (eventlog.Verdict, error) {
	p := chain.Partition
	first, next, err := log.Bounds(ctx, p)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	snapshot, _, err := realtime.SnapshotOffset(snapshotDir(cfg), p)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	other, err := high.otherDigest(ctx, p)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	if other && next <= chain.Head.Seq && first < next {
		return eventlog.Verdict{}, fmt.Errorf("partition %d: the log holds other messages than this one acknowledged, and ends before what has landed; "+
			"it may be another's: put the right log back, or move %s away to go on from what has landed", p, filepath.Join(cfg.DataDir, "log"))
	}
	return eventlog.Recover(eventlog.Remembered{Head: chain.Head.Seq, Snapshot: snapshot.Seq, HighWater: high.marks[p].Next, Next: next, OtherDigest: other}), nil
}

func snapshotDir(cfg Config) string { return filepath.Join(cfg.DataDir, "speed") }

// begin begins every partition. What is wrong with one is mostly wrong with all, so the
// first fault is enough.
func begin(ctx context.Context, cfg Config, e *engines, high *highWater, logger *slog.Logger) ([]*record.Chain, error) {
	chains := make([]*record.Chain, cfg.Log.Partitions)
	for p := range chains {
		var err error
		if chains[p], err = beginPartition(ctx, cfg, e, high, p, logger); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return chains, nil
}
