package jobs

import "context"

// Score grades the speed layer by the newest publication (A2). grade returns the number of that
// publication and the outcome in one line.
func Score(schedule string, grade func(context.Context) (n uint64, outcome string, err error)) Job {
	return Job{Name: "score", Schedule: schedule, Run: func(ctx context.Context) (Report, error) {
		n, outcome, err := grade(ctx)
		return Report{Publication: n, Message: outcome}, err
	}}
}
