package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount/schemas/record"
)

// NewestPublication returns the highest publication that the latest recorded runs of the job recompute name, and which
// run does. It goes back from the latest run, past those that failed and name none. Runs that cannot be read are left
// out. The number is 0 if no run names a publication.
//
// A run is recorded after its publication exists. So it is a witness of the number (P2) which does not depend on
// publish/ and ClickHouse.
func NewestPublication(ctx context.Context, records record.CommitLog) (n uint64, name string, err error) {
	const job = "recompute"
	keys, err := records.List(ctx, ledgerPrefix+job+"/")
	if err != nil {
		return 0, "", fmt.Errorf("list the runs of job %s: %w", job, err)
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	for latest := range slices.Chunk(keys, maxReads) {
		runs := make([]*Run, len(latest))
		g, groupCtx := errgroup.WithContext(ctx)
		for i, key := range latest {
			g.Go(func() (err error) {
				if runs[i], err = getRun(groupCtx, records, job, key); errors.Is(err, errNoRun) {
					return nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return 0, "", fmt.Errorf("read the runs of job %s: %w", job, err)
		}
		for i, r := range runs {
			if r != nil && r.Publication > n {
				n = r.Publication
				name = "the run " + latest[i]
			}
		}
		if n > 0 {
			break
		}
	}
	return n, name, nil
}
