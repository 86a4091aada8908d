package landing

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"recount/schemas/record"
)

const (
	parallelGets = 32
	mostSingle   = 64  // records read one by one at a start before the rest is listed
	windowGets   = 256 // records held before they are appended, so at most that many bodies wait
)

// LoadChain reads a partition's commit chain from its first record. A chain that has not
// begun is no error. A record that is missing although later ones of its epoch exist, or
// that does not continue the chain, wraps record.ErrInvalid (V1).
func LoadChain(ctx context.Context, records record.CommitLog, partition int) (*record.Chain, error) {
	c := record.NewChain(partition)
	for {
		epoch := c.Head.Epoch
		last, err := loadEpoch(ctx, records, c)
		ended := false
		if err == nil {
			ended, err = extend(ctx, records, c, mostSingle)
		}
		if err == nil && !ended {
			continue // An epoch may have begun, and of a long one many are listed and read at once.
		}
		if err == nil && c.Head.Epoch == epoch && last >= c.NextKey() {
			err = fmt.Errorf("%w: %s is missing and the later %s exists: restore it from a copy of the object store",
				record.ErrInvalid, c.NextKey(), last)
		}
		if err != nil {
			return nil, fmt.Errorf("load the commit chain of partition %d: %w", partition, err)
		}
		if c.Head.Epoch == epoch {
			return c, nil
		}
	}
}

// loadEpoch appends the listed records of the head's epoch, fetched several at a time,
// and returns the last listed key. What the list does not show Extend finds.
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
		keys = keys[1:] // A checkpoint had it.
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

// Extend reads the chain on from where it is, one record after the other, until there is
// no next one. After an error the chain is whole up to the records read before it.
func Extend(ctx context.Context, records record.CommitLog, c *record.Chain) error {
	_, err := extend(ctx, records, c, math.MaxInt)
	return err
}

// extend is Extend for at most so many records; ended says that there was no next one.
func extend(ctx context.Context, records record.CommitLog, c *record.Chain, most int) (ended bool, err error) {
	for range most {
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
