package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// ErrVerify is wrapped by the error about rows that ClickHouse does not return as they were written
// (B5). Nothing was published; the next run writes the rows again.
var ErrVerify = errors.New("rows read back differ from the rows written")

// verify reads back every bucket of every view of the attempt.
func (w *writer) verify(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.tables)) {
		t := w.tables[name]
		got, err := w.p.views.ReadVersions(ctx, t.view, slices.Collect(maps.Values(t.buckets)))
		if err == nil && !failpoint.Off(failpoint.B5) {
			err = t.compare(got)
		}
		if err != nil {
			return fmt.Errorf("verify view %s: %w", name, err)
		}
	}
	return nil
}

// compare returns an error about the first bucket whose rows differ from those that were written.
func (t *table) compare(got map[int64]record.BucketVersion) error {
	for _, b := range slices.Sorted(maps.Keys(t.buckets)) {
		if want := t.buckets[b]; got[b] != want {
			return fmt.Errorf("%w: bucket %s: read %d rows with checksum %016x, wrote %d rows with checksum %016x",
				ErrVerify, time.UnixMicro(b).UTC().Format(time.RFC3339), got[b].Rows, got[b].Checksum, want.Rows,
				want.Checksum)
		}
	}
	return nil
}
