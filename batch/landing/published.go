package landing

import (
	"context"
	"errors"
	"fmt"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// Published returns the newest publication, or nil before the first. The error wraps record.ErrMissing if a later one
// is known to have existed. It must not ask a store for each call, because every landing calls it.
type Published func(context.Context) (*record.Publication, error)

func noPublication(context.Context) (*record.Publication, error) { return nil, nil }

// checkPublished returns an error that wraps record.ErrMissing if the chain cannot be the one that was published
// (C10). newest and newestErr are what Published returned before the chain was read to its head. So another publisher
// cannot have published more of the chain than was read.
func checkPublished(newest *record.Publication, newestErr error, c *record.Chain) error {
	if failpoint.Off(failpoint.C10) {
		return nil
	}
	if newestErr != nil {
		return newestErr
	}
	return newest.CheckChain(c)
}

// isCovered reports whether a publication covers the chain's head: another process has created the record that comes
// next, or it is missing.
func (p *partition) isCovered(ctx context.Context) bool {
	newest, err := p.cfg.Published(ctx)
	return checkPublished(newest, err, p.chain) != nil
}

// explainFork adds to the error about a record that follows another one than the chain has: which records have to be
// moved away or restored. Up to there the chain is whole.
func explainFork(ctx context.Context, records record.CommitLog, err error, c *record.Chain) error {
	var fork *record.ForkError
	if !errors.As(err, &fork) {
		return err
	}
	newest, readErr := NewestStored(ctx, records)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case newest.CheckChain(c) != nil:
		return fmt.Errorf("%w; publication %d covers what follows, so restore the record before it that it names from "+
			"a copy of the object store", err, newest.N)
	}
	return fmt.Errorf("%w; one of the two is from another copy of the object store. No publication covers what "+
		"follows, and the log still has its messages: move %s and all later records of the partition, also those of "+
		"later epochs, out of land/, keep them, and start again: the messages land again", err, fork.Key)
}

// NewestStored returns the newest publication in the store, or nil if there is none. It does not look for publications
// that are missing, as a publisher does.
func NewestStored(ctx context.Context, records record.CommitLog) (*record.Publication, error) {
	keys, err := records.List(ctx, record.PublicationPrefix)
	if err != nil {
		return nil, fmt.Errorf("list publications: %w", err)
	}
	newest := uint64(0)
	for _, key := range keys {
		if n, ok := record.PublicationNumber(key); ok {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return nil, nil
	}
	raw, err := records.Get(ctx, record.PublicationKey(newest))
	if err != nil {
		return nil, fmt.Errorf("read publication %d: %w", newest, err)
	}
	return record.DecodePublication(raw)
}
