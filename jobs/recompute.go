package jobs

import (
	"context"
	"fmt"

	"recount/batch/publish"
)

// Recompute computes what has landed since the newest publication and publishes it.
// A run that finds nothing new ends at once (J1).
func Recompute(schedule string, p *publish.Publisher) Job {
	return Job{Name: "recompute", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		r, err := p.Recompute(ctx)
		if err != nil {
			return Report{}, err
		}
		if r.Nothing {
			return Report{Publication: r.Publication, Message: "nothing new has landed"}, nil
		}
		return Report{
			Rows: r.Rows, Publication: r.Publication,
			Message: fmt.Sprintf("%d events of %d buckets, %d duplicates of which %d conflict", r.Events, r.Buckets, r.Duplicates, r.Conflicts),
		}, nil
	}}
}
