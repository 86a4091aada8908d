package jobs

import (
	"context"
	"fmt"

	"recount/batch/publish"
)

// Collect removes what no kept record names: versions and tables of ClickHouse (P3)
// and objects of the lake (C8).
func Collect(schedule string, p *publish.Publisher) Job {
	return Job{Name: "collect", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		r, err := p.Collect(ctx)
		if err != nil {
			return Report{}, err
		}
		return Report{
			Rows:    r.Rows + r.Objects + r.Tables,
			Message: fmt.Sprintf("removed %d rows, %d tables, %d objects", r.Rows, r.Tables, r.Objects),
		}, nil
	}}
}
