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
		return Report{Rows: r.Rows, Publication: r.Publication, Message: found(r)}, nil
	}}
}

// found says what a run found. Who asks for one right behind the events should learn why they are not in it.
func found(r publish.Result) string {
	const wait = "; what was just accepted lands within landing.cut_interval"
	switch {
	case r.Nothing:
		return "nothing new has landed" + wait
	case r.Events == 0 && r.Buckets == 0: // The first publication.
		return "nothing has landed" + wait
	}
	return fmt.Sprintf("%d events of %d buckets, %d duplicates of which %d conflict", r.Events, r.Buckets, r.Duplicates,
		r.Conflicts)
}
