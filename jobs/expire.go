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

// Expire trims every partition of the log below the bound, and the ledger. bound
// returns per partition the lowest sequence that anything still needs (L6): H of
// the oldest kept publication, the newest valid snapshot, every consumer, the chain head.
func Expire(schedule string, log Log, bound func() []uint64, ledger *Ledger, remove Remover) Job {
	return Job{Name: "expire", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		trimmed, err := Trim(ctx, log, bound())
		runs, ledgerErr := ledger.Expire(ctx, remove)
		return Report{
			Rows:    trimmed + runs,
			Message: fmt.Sprintf("trimmed %d messages of the log, removed %d runs of the ledger", trimmed, runs),
		}, errors.Join(err, ledgerErr)
	}}
}

// Trim trims every partition below its bound and returns how many messages went.
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
