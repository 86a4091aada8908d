package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"recount/batch/landing"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// Log is what the janitor needs of the log; eventlog.Log implements it.
type Log interface {
	Partitions() int
	Bounds(ctx context.Context, partition int) (first, next uint64, err error)
	Get(ctx context.Context, partition int, seq uint64) (eventlog.Message, error)
	Advance(ctx context.Context, partition int, next uint64) error
}

// Config says how partitions begin.
type Config struct {
	Next      record.Next // settings that the first record of a chain fixes, the current cut rule, and the log's id
	FirstLog  string      // id of the log that the installation began with
	Snapshots string      // folder of the snapshots of the real-time views
	Published landing.Published
	LogName   string // path or URL by which an operator knows the log, for errors
	Logger    *slog.Logger
}

// Begin begins every partition. It returns the first error, because a problem of one partition is
// usually a problem of all.
func Begin(ctx context.Context, cfg Config, log Log, records record.CommitLog, marks *Marks) ([]*record.Chain, error) {
	if err := marks.claim(cfg.Next.Installation); err != nil {
		return nil, err
	}
	chains := make([]*record.Chain, log.Partitions())
	for p := range chains {
		var err error
		if chains[p], err = begin(ctx, cfg, log, records, marks, p); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		marks.setEpoch(p, chains[p].Head.Epoch)
	}
	return chains, nil
}

// Seal says that a start would seal the epoch of a partition (L5).
type Seal struct {
	Partition int
	Epoch     uint32
	Head      uint64 // chain head: where the epoch ends
	Reason    string
}

// Foresee returns what Begin would seal, and refuses what Begin refuses. It changes nothing. A seal for another cut
// rule loses nothing, and is left out.
func Foresee(ctx context.Context, cfg Config, log Log, records record.CommitLog, marks *Marks) ([]Seal, error) {
	if err := marks.claim(cfg.Next.Installation); err != nil {
		return nil, err
	}
	var seals []Seal
	for p := range log.Partitions() {
		chain, err := landing.Check(ctx, records, p, cfg.Next, cfg.Published)
		if chain != nil && errors.Is(err, record.ErrMissing) {
			if err = checkShort(ctx, cfg, log, marks, chain, err); err == nil {
				continue // Nothing is sealed.
			}
		}
		if err == nil {
			err = checkEpoch(cfg, marks.marks[p], chain)
		}
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		verdict, _, err := assess(ctx, cfg, log, marks, chain)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		if verdict.Seal {
			seals = append(seals, Seal{p, chain.Head.Epoch, chain.Head.Seq, verdict.Reason})
		}
	}
	return seals, nil
}

// begin loads a partition's commit chain and decides L5 before anything is accepted. If the log lost
// its end, or is another one (L8), begin seals the epoch and moves the log's next sequence to the
// chain's head, above everything that has landed.
func begin(ctx context.Context, cfg Config, log Log, records record.CommitLog, marks *Marks,
	p int) (*record.Chain, error) {
	chain, err := landing.Check(ctx, records, p, cfg.Next, cfg.Published)
	if chain != nil && errors.Is(err, record.ErrMissing) {
		return chain, checkShort(ctx, cfg, log, marks, chain, err)
	}
	if err == nil {
		err = checkEpoch(cfg, marks.marks[p], chain)
	}
	if err == nil {
		err = landing.Continue(ctx, records, chain, cfg.Next)
	}
	if err != nil {
		return nil, err
	}
	verdict, outdated, err := assess(ctx, cfg, log, marks, chain)
	if outdated {
		err = errors.Join(err, marks.forget(p))
	}
	if err != nil {
		return nil, err
	}
	if !verdict.Seal || failpoint.Off(failpoint.L5) {
		return chain, nil
	}
	cfg.Logger.Error("acknowledged events may be lost: the log no longer holds what it acknowledged; sealing its epoch",
		"partition", p, "epoch", chain.Head.Epoch, "head", chain.Head.Seq, "reason", verdict.Reason)
	failpoint.Point("log.seal.before")
	if err := landing.SealEpoch(ctx, records, chain, cfg.Next, verdict.Reason); err != nil {
		return nil, fmt.Errorf("seal the epoch: %w", err)
	}
	failpoint.Point("log.seal.after")
	// The seal may have found a segment that another process landed meanwhile, so the head may have
	// moved. A message that is appended below the head would never be read.
	_, end, err := log.Bounds(ctx, p)
	if err != nil {
		return nil, err
	}
	if end < chain.Head.Seq {
		if err := log.Advance(ctx, p, chain.Head.Seq); err != nil {
			return nil, fmt.Errorf("move the log to its chain head: %w", err)
		}
	}
	return chain, marks.forget(p)
}

// assess decides L5 for a partition and changes nothing. outdated says that the mark of the partition says nothing
// about the log any more.
func assess(ctx context.Context, cfg Config, log Log, marks *Marks, chain *record.Chain) (verdict eventlog.Verdict,
	outdated bool, err error) {
	remembered := marks.marks[chain.Partition]
	current := CurrentLog(chain, cfg.FirstLog)
	other := current != cfg.Next.Log
	outdated = other || chain.Replaced(remembered.Epoch, chain.Head.Epoch)
	if outdated {
		remembered = mark{}
	}
	if other {
		return eventlog.Verdict{Seal: true, Reason: fmt.Sprintf("log %s replaces log %s, as the operator asked",
			cfg.Next.Log, current)}, outdated, nil
	}
	verdict, err = judge(ctx, cfg, log, remembered, chain, chain.Head.Seq)
	return verdict, outdated, err
}

// checkEpoch refuses a chain that ends before an epoch in which this owner has read the log. The record that began it
// is gone, and its number would be given again (C10).
func checkEpoch(cfg Config, remembered mark, chain *record.Chain) error {
	snapshot, _, err := realtime.SnapshotOffset(cfg.Snapshots, cfg.Next.Installation, chain.Partition)
	if err != nil {
		return err
	}
	known := max(remembered.Epoch, snapshot.Epoch)
	if known <= chain.Head.Epoch {
		return nil
	}
	return fmt.Errorf("%w: the high-water mark or a snapshot in %s is of epoch %d, and the commit chain ends in epoch "+
		"%d; restore %s and later ones from a copy of the bucket, or, if they are lost for ever, move that folder "+
		"away: the real-time views begin again", record.ErrMissing, cfg.Snapshots, known, chain.Head.Epoch,
		record.CommitKey(chain.Head.Epoch, chain.Partition, chain.Head.Seq))
}

// checkShort decides for a partition whose chain lacks records that were published, or has others in their place.
// Nothing is sealed then (C10), and its lander stops with an alarm. So a log that has to be sealed before it may accept
// anything cannot be used, and neither can a chain that ends in an earlier epoch: where the log's epoch begins is
// not known. lacks is the error about the chain.
func checkShort(ctx context.Context, cfg Config, log Log, marks *Marks, chain *record.Chain, lacks error) error {
	covered := position.Offset{}
	if newest, err := cfg.Published(ctx); err == nil && newest != nil {
		covered = newest.H[chain.Partition]
	}
	if !chain.Begun() || chain.Head.Epoch < covered.Epoch {
		return lacks
	}
	if CurrentLog(chain, cfg.FirstLog) != cfg.Next.Log {
		return fmt.Errorf("the log cannot be replaced: %w", lacks)
	}
	verdict, err := judge(ctx, cfg, log, marks.marks[chain.Partition], chain, covered.Seq)
	if err != nil {
		return err
	}
	if verdict.Seal {
		return fmt.Errorf("%s, and its epoch cannot be sealed: %w", verdict.Reason, lacks)
	}
	return nil
}

// CurrentLog returns the id of the log that a chain follows (L8): the log that its last seal names, or the
// first log of the installation.
func CurrentLog(c *record.Chain, first string) string { return cmp.Or(c.Log, first) }

// judge decides L5 for a log of which everything before the message head has landed.
func judge(ctx context.Context, cfg Config, log Log, remembered mark, chain *record.Chain,
	head uint64) (eventlog.Verdict, error) {
	p := chain.Partition
	first, next, err := log.Bounds(ctx, p)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	snapshot, _, err := realtime.SnapshotOffset(cfg.Snapshots, cfg.Next.Installation, p)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	if chain.Replaced(snapshot.Epoch, chain.Head.Epoch) { // The snapshot is of the earlier log.
		snapshot.Seq = 0
	}
	other, err := otherDigest(ctx, log, p, remembered)
	if err != nil {
		return eventlog.Verdict{}, err
	}
	if other && next <= chain.Head.Seq && first < next {
		return eventlog.Verdict{}, fmt.Errorf("the log holds other messages than it acknowledged, and "+
			"ends before what has landed; it may be the log of another system: put the right log back, or move %s "+
			"away and start once with --replace-log to continue from what has landed", cfg.LogName)
	}
	return eventlog.Recover(eventlog.Remembered{Head: max(head, chain.Head.Seq), Snapshot: snapshot.Seq,
		HighWater: remembered.Next, Next: next, OtherDigest: other}), nil
}
