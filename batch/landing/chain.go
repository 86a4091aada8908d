package landing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount/schemas/record"
)

const (
	parallelGets  = 32  // records that are fetched at the same time
	maxSingleGets = 64  // records that a start reads one by one before it lists the rest
	windowGets    = 256 // records that are fetched before they are appended, which bounds the memory
)

// LoadChain reads the commit chain of a partition from its first record. It is no error if the
// chain has not begun. The error wraps record.ErrInvalid if a record does not continue the
// chain, or is missing although later records of its epoch or of the next one exist (V1).
func LoadChain(ctx context.Context, records record.CommitLog, partition int) (*record.Chain, error) {
	c := record.NewChain(partition)
	for {
		epoch := c.Head.Epoch
		last, err := loadEpoch(ctx, records, c)
		ended := false
		if err == nil {
			ended, err = extend(ctx, records, c, maxSingleGets)
		}
		if err == nil && !ended {
			continue // There are more records. Listed records are read several at a time.
		}
		if err == nil && c.Head.Epoch == epoch && last >= c.NextKey() {
			err = fmt.Errorf("%w: %s is missing but the later %s exists: restore it from a copy of the object store",
				record.ErrInvalid, c.NextKey(), last)
		}
		if err != nil {
			return nil, fmt.Errorf("load the commit chain of partition %d: %w", partition,
				explainFork(ctx, records, err, c))
		}
		if c.Head.Epoch > epoch {
			continue
		}
		later, err := nextEpoch(ctx, records, c)
		if err == nil && later == "" {
			return c, nil
		}
		if err == nil {
			_, err = records.Get(ctx, c.NextKey()) // Another process may have sealed the epoch meanwhile.
		}
		if errors.Is(err, record.ErrNotFound) {
			err = fmt.Errorf("%w: %s is missing but the later %s exists: restore it from a copy of the object store",
				record.ErrInvalid, c.NextKey(), later)
		}
		if err != nil {
			return nil, fmt.Errorf("load the commit chain of partition %d: %w", partition, err)
		}
	}
}

// nextEpoch returns the key of a record in the epoch after the head's, or nothing. There is none unless a seal or a
// hole has ended the head's epoch. Without that record the chain would seem to end, and another one would take its key.
func nextEpoch(ctx context.Context, records record.CommitLog, c *record.Chain) (key string, err error) {
	keys, err := records.List(ctx, record.CommitPrefix(c.Head.Epoch+1, c.Partition))
	if err != nil || len(keys) == 0 {
		return "", err
	}
	return keys[0], nil
}

// loadEpoch appends the listed records of the head's epoch, several fetched at a time, and
// returns the last listed key. The list may lack new records; extend finds those.
func loadEpoch(ctx context.Context, records record.CommitLog, c *record.Chain) (last string, err error) {
	keys, err := records.List(ctx, record.CommitPrefix(c.Head.Epoch, c.Partition))
	if err != nil || len(keys) == 0 {
		return "", err
	}
	last = keys[len(keys)-1]
	if len(keys) >= checkpointRecords {
		skipAhead(ctx, records, c)
	}
	for len(keys) > 0 && keys[0] < c.NextKey() {
		keys = keys[1:] // A checkpoint held this record.
	}
	for len(keys) > 0 {
		window := keys[:min(len(keys), windowGets)]
		keys = keys[len(window):]
		raws, err := getAll(ctx, records, window)
		if err != nil {
			return "", err
		}
		for i, key := range window {
			if key != c.NextKey() {
				return last, nil
			}
			if _, err := c.Extend(raws[i]); err != nil {
				return "", err
			}
		}
	}
	return last, nil
}

// getAll returns the bodies of the keys in their order.
func getAll(ctx context.Context, records record.CommitLog, keys []string) ([][]byte, error) {
	raws := make([][]byte, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelGets)
	for i, key := range keys {
		g.Go(func() (err error) {
			raws[i], err = records.Get(ctx, key)
			return err
		})
	}
	return raws, g.Wait()
}

// Extend reads the chain on from its head, one record after the other, until there is no next
// record. After an error the chain is whole up to the last record that was read.
func Extend(ctx context.Context, records record.CommitLog, c *record.Chain) error {
	_, err := extend(ctx, records, c, math.MaxInt)
	return err
}

// extend is Extend for at most limit records; ended reports that there was no next record.
func extend(ctx context.Context, records record.CommitLog, c *record.Chain, limit int) (ended bool, err error) {
	for range limit {
		raw, err := records.Get(ctx, c.NextKey())
		if errors.Is(err, record.ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read commit record: %w", err)
		}
		if _, err := c.Extend(raw); err != nil {
			return false, err
		}
	}
	return false, nil
}

// cloneChain copies a chain, so that extending one of the two does not change the other.
func cloneChain(c *record.Chain) *record.Chain {
	out := *c
	out.Epochs = slices.Clip(c.Epochs)
	out.Segments = slices.Clip(c.Segments)
	out.Holes = slices.Clip(c.Holes)
	out.Ends = slices.Clip(c.Ends)
	return &out
}
