package jobs

import (
	"context"
	"fmt"
	"time"

	"recount/batch/publish"
)

// stepsFor is how long a run goes on with steps while views lack history (B8): half of the default schedule. Every step
// is a publication, which also covers what has landed meanwhile.
const stepsFor = 30 * time.Second

// Recompute computes the buckets of the events that have landed since the newest publication, and
// publishes them. A run that finds nothing new ends at once (J1).
func Recompute(schedule string, p *publish.Publisher) Job {
	return Job{Name: "recompute", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		began := time.Now()
		r, err := p.Recompute(ctx)
		for err == nil && r.Left > 0 && time.Since(began) < stepsFor {
			before := r
			r, err = p.Recompute(ctx)
			r.AddRun(before)
		}
		if err != nil {
			return Report{}, err
		}
		return Report{Rows: r.Rows, Publication: r.Publication, Message: describe(r)}, nil
	}}
}

// describe says what a run found. A client that starts a run right after it sent events learns
// from it why the events are not published yet.
func describe(r publish.Result) string {
	const wait = "; events that were just accepted land within landing.cut_interval"
	switch {
	case r.Nothing:
		return "nothing new has landed" + wait
	case r.Events == 0 && r.Buckets == 0: // The first publication.
		return "nothing has landed" + wait
	}
	text := fmt.Sprintf("%s in %s, %s, %s", count(r.Events, "event"), count(r.Buckets, "bucket"),
		count(r.Duplicates, "duplicate"), count(r.Conflicts, "conflict"))
	if r.Left > 0 {
		text += fmt.Sprintf("; %s of history left to fill", count(r.Left, "event"))
	}
	return text
}
