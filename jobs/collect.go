package jobs

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/publish"
)

// Collect removes what no kept record names: versions and tables of ClickHouse and old publications (P3),
// and objects of the lake (C8). It also calls checkpoint, which writes the checkpoints of
// commit chains that are due and returns how many it wrote.
func Collect(schedule string, p *publish.Publisher, checkpoint func(context.Context) (int64, error)) Job {
	return Job{Name: "collect", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		r, err := p.Collect(ctx)
		made, checkpointErr := checkpoint(ctx)
		return Report{
			Rows: r.Rows + r.Objects + r.Tables + r.Publications,
			Message: fmt.Sprintf("removed %s, %s, %s and %s; wrote %s of commit chains", count(r.Rows, "row"),
				count(r.Tables, "table"), count(r.Objects, "object"), count(r.Publications, "publication"),
				count(made, "checkpoint")),
		}, errors.Join(err, checkpointErr)
	}}
}
