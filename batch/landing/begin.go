package landing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"recount/schemas/record"
	"recount/schemas/setting"
)

const (
	// createTries is how often a start tries to create a record whose outcome stays unknown.
	// An operator waits for a start, so it gives up; a running lander never does.
	createTries = 8
	// sealRounds is how often a seal is tried at a new head while other landers move the head on.
	sealRounds = 100
)

// Begin loads the commit chain of a partition and makes it fit the configuration. An empty chain
// gets its first record: the seal that opens next.Epoch (1) and fixes the bucket width and the
// number of partitions. If the stored cut rule is another one, a seal opens a new epoch (C1).
// It is no error if another process creates the first seal. Another stored bucket width or
// number of partitions is a *setting.Error.
//
// A chain that lacks records, or has others in their place, gets none (C10). Begin returns it with an error that wraps
// record.ErrMissing. A nil published is not asked.
func Begin(ctx context.Context, records record.CommitLog, partition int, next record.Next,
	published Published) (*record.Chain, error) {
	c, err := Check(ctx, records, partition, next, published)
	if err != nil {
		return c, err
	}
	if err := Continue(ctx, records, c, next); err != nil {
		return nil, err
	}
	return c, nil
}

// Continue creates what Begin creates, after a Check without an error.
func Continue(ctx context.Context, records record.CommitLog, c *record.Chain, next record.Next) error {
	if !c.Begun() {
		first := &record.Commit{Kind: record.Seal, Epoch: c.Head.Epoch, Partition: c.Partition,
			Start: c.Head.Seq, End: c.Head.Seq, Next: &next, Reason: "the first record"}
		if _, err := createRecord(ctx, records, c, first); err != nil {
			return fmt.Errorf("begin the commit chain of partition %d: %w", c.Partition, err)
		}
		if err := checkFixed(c, next); err != nil {
			return err // Another process has created the record.
		}
	}
	if stored := c.Rule(); stored != next.Rule {
		return SealEpoch(ctx, records, c, next, fmt.Sprintf("the cut rule changes from %+v to %+v", stored, next.Rule))
	}
	return nil
}

// Check loads the commit chain of a partition and refuses what Begin refuses. It changes nothing. It
// returns a chain with an error only if that is about what the chain lacks (C10).
func Check(ctx context.Context, records record.CommitLog, partition int, next record.Next,
	published Published) (*record.Chain, error) {
	if published == nil {
		published = noPublication
	}
	newest, newestErr := published(ctx)
	c, err := LoadChain(ctx, records, partition)
	if err != nil {
		return nil, err
	}
	if c.Begun() {
		err = checkFixed(c, next)
	} else {
		err = checkFirst(ctx, records, partition, next)
	}
	if err != nil {
		return nil, err
	}
	return c, checkPublished(newest, newestErr, c)
}

// checkFirst refuses to begin the chain of a partition that the stored number of partitions does
// not have, which is how a raised log.partitions shows. It compares next with the first record
// of partition 0, because that chain is begun first.
func checkFirst(ctx context.Context, records record.CommitLog, partition int, next record.Next) error {
	if partition == 0 {
		return nil
	}
	zero := record.NewChain(0)
	raw, err := records.Get(ctx, zero.NextKey())
	if errors.Is(err, record.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = zero.Extend(raw)
	}
	if err != nil {
		return fmt.Errorf("read the first record of partition 0: %w", err)
	}
	return checkFixed(zero, next)
}

// checkFixed compares the settings that cannot change while data exists.
func checkFixed(c *record.Chain, next record.Next) error {
	var errs []error
	if c.Bucket != next.Bucket {
		errs = append(errs, &setting.Error{Path: []string{"batch", "bucket"}, Msg: fmt.Sprintf(
			"the stored data has buckets of %s and the configuration says %s; the width cannot change while data "+
				"exists: write %s, or begin a new installation with empty engines",
			c.Bucket, next.Bucket, c.Bucket)})
	}
	if c.Partitions != next.Partitions {
		errs = append(errs, &setting.Error{Path: []string{"log", "partitions"}, Msg: fmt.Sprintf(
			"the stored data has %d partitions and the configuration says %d; the number cannot change while data "+
				"exists: write %d, or begin a new installation with empty engines",
			c.Partitions, next.Partitions, c.Partitions)})
	}
	if c.Installation != "" && next.Installation != "" && c.Installation != next.Installation {
		errs = append(errs, fmt.Errorf("the commit chain of partition %d belongs to installation %s, and not to %s: "+
			"restore the records of land/ and installation.json from the same copy of the bucket", c.Partition,
			c.Installation, next.Installation))
	}
	return errors.Join(errs...)
}

// SealEpoch ends the epoch of the chain at its head and opens the next epoch, with the rule, the
// installation and the log of next (L5).
// The seal needs the same key as the next record of a lander of the old epoch. If another
// process has created that record first, the chain is read on. A seal of another process with
// the same rule and log is as good as this one. After any other record the seal is tried again at the
// new head. SealEpoch may be called again after an error. It may move the head, so compare the
// log with the head only afterwards.
func SealEpoch(ctx context.Context, records record.CommitLog, c *record.Chain, next record.Next, reason string) error {
	from := c.Head.Epoch
	for range sealRounds {
		if c.Head.Epoch > from && c.Rule() == next.Rule && c.Log == next.Log {
			return nil
		}
		opened := next
		opened.Epoch = c.Head.Epoch + 1
		opened.Bucket = c.Bucket
		opened.Partitions = c.Partitions
		seal := &record.Commit{Kind: record.Seal, Epoch: c.Head.Epoch, Partition: c.Partition,
			Start: c.Head.Seq, End: c.Head.Seq, Next: &opened, Reason: reason, Previous: c.Tip}
		mine, err := createRecord(ctx, records, c, seal)
		if err != nil {
			return fmt.Errorf("seal epoch %d of partition %d: %w", c.Head.Epoch, c.Partition, err)
		}
		if mine {
			return nil
		}
	}
	return fmt.Errorf("seal epoch %d of partition %d: other processes land faster than this one can seal: stop them",
		c.Head.Epoch, c.Partition)
}

// createRecord creates the seal or hole that continues the chain, and moves the chain past the record
// that is there in the end. mine reports whether that record is the given one.
func createRecord(ctx context.Context, records record.CommitLog, c *record.Chain,
	r *record.Commit) (mine bool, err error) {
	r.Attempt = rand.Text()
	r.Created = time.Now().UTC()
	raw, err := r.Encode()
	if err != nil {
		return false, err
	}
	for try := range createTries {
		outcome, there, createErr := records.Create(ctx, c.NextKey(), raw)
		switch {
		case createErr == nil && outcome == record.Created:
			_, err := c.Extend(raw)
			return true, err
		case createErr == nil && outcome == record.Exists:
			if _, err := c.Extend(there); err != nil {
				return false, err
			}
			return false, Extend(ctx, records, c)
		}
		err = createErr
		if try+1 < createTries && sleep(ctx, pause(try)) != nil {
			break
		}
	}
	return false, fmt.Errorf("create %s: %w", c.NextKey(), err)
}
