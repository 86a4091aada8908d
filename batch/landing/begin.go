package landing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/setting"
)

const (
	// createTries is how often a record with an unknown outcome is tried at boot, where an
	// operator waits. A running lander never gives up.
	createTries = 8
	// sealRounds bounds a race for the head against others that keep landing.
	sealRounds = 100
)

// Begin loads a partition's chain and makes it fit the configuration: an empty chain gets
// its first seal, which opens next.Epoch (1) and fixes bucket width and partitions; another
// cut rule opens a new epoch (C1). Losing the race for the first seal is no error. A bucket
// width or number of partitions other than the stored one is a *setting.Error.
func Begin(ctx context.Context, records record.CommitLog, partition int, next record.Next) (*record.Chain, error) {
	c, err := LoadChain(ctx, records, partition)
	if err != nil {
		return nil, err
	}
	if !c.Begun() {
		if err := checkFirst(ctx, records, partition, next); err != nil {
			return nil, err
		}
		first := &record.Commit{Kind: record.Seal, Epoch: c.Head.Epoch, Partition: partition,
			Start: c.Head.Seq, End: c.Head.Seq, Next: &next, Reason: "the first record"}
		if _, err := createSeal(ctx, records, c, first); err != nil {
			return nil, fmt.Errorf("begin the commit chain of partition %d: %w", partition, err)
		}
	}
	if err := checkFixed(c, next); err != nil {
		return nil, err
	}
	if stored := c.Rule(); stored != next.Rule {
		reason := fmt.Sprintf("the cut rule changes from %+v to %+v", stored, next.Rule)
		if err := SealEpoch(ctx, records, c, next.Rule, reason); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checkFirst keeps a raised log.partitions from beginning chains for partitions that the
// stored number does not have: partition 0, which is begun first, has the say.
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

// checkFixed compares what may never change while data exists.
func checkFixed(c *record.Chain, next record.Next) error {
	var errs []error
	if c.Bucket != next.Bucket {
		errs = append(errs, &setting.Error{Path: []string{"batch", "bucket"}, Msg: fmt.Sprintf(
			"the stored data has buckets of %s and the configuration says %s; the width cannot change while data "+
				"exists: write %s, or start with an empty object store",
			c.Bucket, next.Bucket, c.Bucket)})
	}
	if c.Partitions != next.Partitions {
		errs = append(errs, &setting.Error{Path: []string{"log", "partitions"}, Msg: fmt.Sprintf(
			"the stored data has %d partitions and the configuration says %d; the number cannot change while data "+
				"exists: write %d, or start with an empty object store",
			c.Partitions, next.Partitions, c.Partitions)})
	}
	return errors.Join(errs...)
}

// SealEpoch ends the chain's epoch at its head and opens the next with the rule (L5). It
// takes the key that a lander of the old epoch would need. If another wrote that record
// first the chain is read on: a seal with the same rule is as good as the own one, behind
// anything else the seal is tried again at the new head. So it may be called again after
// an error. The head may have moved: compare the log with it only afterwards.
func SealEpoch(ctx context.Context, records record.CommitLog, c *record.Chain, rule position.CutRule,
	reason string) error {
	from := c.Head.Epoch
	for range sealRounds {
		if c.Head.Epoch > from && c.Rule() == rule {
			return nil
		}
		next := &record.Next{Epoch: c.Head.Epoch + 1, Rule: rule, Bucket: c.Bucket, Partitions: c.Partitions}
		seal := &record.Commit{Kind: record.Seal, Epoch: c.Head.Epoch, Partition: c.Partition,
			Start: c.Head.Seq, End: c.Head.Seq, Next: next, Reason: reason, Previous: c.Tip}
		mine, err := createSeal(ctx, records, c, seal)
		if err != nil {
			return fmt.Errorf("seal epoch %d of partition %d: %w", c.Head.Epoch, c.Partition, err)
		}
		if mine {
			return nil
		}
	}
	return fmt.Errorf("seal epoch %d of partition %d: others land faster than this process can seal: end them first",
		c.Head.Epoch, c.Partition)
}

// createSeal creates the record that continues the chain and moves the chain past
// whatever is there in the end; mine says whose it is.
func createSeal(ctx context.Context, records record.CommitLog, c *record.Chain,
	seal *record.Commit) (mine bool, err error) {
	seal.Attempt = rand.Text()
	seal.Created = time.Now().UTC()
	raw, err := seal.Encode()
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
