package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/batch/lake"
	"recount/schemas/fault"
	"recount/schemas/record"
)

const (
	verifyBuckets = 1000 // buckets asked for at once
	headRequests  = 16   // at once
)

// ErrVerify is wrapped by the error about rows that ClickHouse does not give back as
// they were written (B5). Nothing was published; the next run writes them anew.
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
	got, err := w.p.views.ReadBack(ctx, t.view, w.ver, buckets)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		if fault.Off(fault.B5) {
			break
		}
		if want := t.buckets[b]; got[b] != want {
			return fmt.Errorf("%w: bucket %s: %d rows with checksum %016x, wrote %d with %016x", ErrVerify,
				time.UnixMicro(b).UTC().Format(time.RFC3339), got[b].Rows, got[b].Checksum, want.Rows, want.Checksum)
		}
	}
	return nil
}

// checkPresent looks for every object that a publication would count for the first
// time (C8). Objects of earlier segments were there then, and a run that reads one opens it.
func (p *Publisher) checkPresent(ctx context.Context, objects []record.Object) error {
	if fault.Off(fault.C8) {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headRequests)
	for _, o := range objects {
		g.Go(func() error {
			info, err := p.objects.Head(ctx, o.Key)
			switch {
			case errors.Is(err, lake.ErrNotFound) && p.cfg.Rebuild != nil:
				p.cfg.Logger.Error("an object of the lake is missing; rebuilding it from the log", "object", o.Key)
				return p.cfg.Rebuild(ctx, o)
			case errors.Is(err, lake.ErrNotFound):
				return fmt.Errorf("object %s is missing though a commit record names it; restore it: %w", o.Key, err)
			case err != nil:
				return fmt.Errorf("look for object %s: %w", o.Key, err)
			case info.Size != o.Size:
				return fmt.Errorf("object %s has %d bytes and its commit record says %d; restore it", o.Key, info.Size, o.Size)
			}
			return nil
		})
	}
	return g.Wait()
}
