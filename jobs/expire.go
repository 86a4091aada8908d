package jobs

import (
	"context"
	"errors"
	"fmt"
)

// Log is the part of the event log that expire trims.
type Log interface {
	Bounds(ctx context.Context, partition int) (first, next uint64, err error)
	Trim(ctx context.Context, partition int, below uint64) error
}

// Expire trims every partition of the log, removes old runs from the ledger, and retires old dead
// letters. check comes first: if it returns an error, nothing is removed, because what is stored is
// not what it must be (publish.Publisher.CheckStored). bound returns for each partition the lowest
// sequence that is still needed (L6).
func Expire(schedule string, log Log, check func(context.Context) error, bound func(context.Context) ([]uint64, error),
	ledger *Ledger, remove Remover, retire func(context.Context) (int64, error)) Job {
	return Job{Name: "expire", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		if err := check(ctx); err != nil {
			return Report{}, fmt.Errorf("nothing is removed: %w", err)
		}
		bounds, err := bound(ctx)
		trimmed := int64(0)
		if err == nil {
			trimmed, err = Trim(ctx, log, bounds)
		}
		runs, ledgerErr := ledger.Expire(ctx, remove)
		retired, retireErr := retire(ctx)
		return Report{
			Rows: trimmed + runs + retired,
			Message: fmt.Sprintf("trimmed %s of the log, removed %s from the ledger, retired %s",
				count(trimmed, "message"), count(runs, "run"), count(retired, "dead letter")),
		}, errors.Join(err, ledgerErr, retireErr)
	}}
}

// Trim trims every partition below its bound and returns how many messages it removed.
func Trim(ctx context.Context, log Log, bounds []uint64) (int64, error) {
	var trimmed int64
	for p, below := range bounds {
		first, next, err := log.Bounds(ctx, p)
		if err != nil {
			return trimmed, err
		}
		below = min(below, next)
		if below <= first {
			continue
		}
		if err := log.Trim(ctx, p, below); err != nil {
			return trimmed, fmt.Errorf("trim partition %d below %d: %w", p, below, err)
		}
		trimmed += int64(below - first)
	}
	return trimmed, nil
}
