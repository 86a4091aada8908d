package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"recount/schemas/failpoint"
)

const verifyBuckets = 1000 // buckets in one statement

// ErrVerify is wrapped by the error about rows that ClickHouse does not return as they were written
// (B5). Nothing was published; the next run writes the rows again.
var ErrVerify = errors.New("rows read back differ from the rows written")

// verify reads back every bucket of every view of the attempt.
func (w *writer) verify(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.tables)) {
		t := w.tables[name]
		for buckets := range slices.Chunk(slices.Sorted(maps.Keys(t.buckets)), verifyBuckets) {
			if err := w.verifyBuckets(ctx, t, buckets); err != nil {
				return fmt.Errorf("verify view %s: %w", name, err)
			}
		}
	}
	return nil
}

func (w *writer) verifyBuckets(ctx context.Context, t *table, buckets []int64) error {
	got, err := w.p.views.ReadBack(ctx, t.view, w.version, buckets)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		if failpoint.Off(failpoint.B5) {
			break
		}
		if want := t.buckets[b]; got[b] != want {
			return fmt.Errorf("%w: bucket %s: read %d rows with checksum %016x, wrote %d rows with checksum %016x",
				ErrVerify, time.UnixMicro(b).UTC().Format(time.RFC3339), got[b].Rows, got[b].Checksum, want.Rows,
				want.Checksum)
		}
	}
	return nil
}
