package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"recount/schemas/openapi"
)

// The API shows runs as the ledger keeps them.
type (
	// Report is the result of a run.
	Report = openapi.Report
	// Trigger says what started a run.
	Trigger = openapi.Trigger
	// Run is one execution of a job.
	Run = openapi.Run
	// Status is a job with its next start and its latest runs.
	Status = openapi.Job
)

// Job is a named piece of work that may be run at any time, any number of times.
// Run must return soon after ctx ends.
type Job struct {
	Name string
	// Schedule is a cron expression, with or without seconds, or a descriptor such as "@every 1m".
	// A job with an empty schedule runs on request only.
	Schedule string
	Run      func(ctx context.Context) (Report, error)
}

// Errors of the scheduler.
var (
	ErrUnknownJob = errors.New("unknown job")
	ErrRunning    = errors.New("the job is already running")
	ErrStopped    = errors.New("the process is stopping")
)

// parser reads five fields, six with seconds first, or a descriptor.
var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow |
	cron.Descriptor)

// ParseSchedule reads a schedule, which is always in UTC. Sunday may be 0 or 7. It refuses a time-zone prefix: the
// library skips jobs in the gap of a clock change, and panics on some prefixes.
func ParseSchedule(s string) (cron.Schedule, error) {
	if strings.Contains(s, "TZ=") {
		return nil, fmt.Errorf("schedule %q: schedules are in UTC; remove the time zone", s)
	}
	if len(s) > 200 {
		return nil, fmt.Errorf("schedule has %d characters; at most 200 are allowed", len(s))
	}
	schedule, err := parser.Parse(withSunday(s))
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w; use five cron fields (six with seconds) or @every 1m", s, err)
	}
	text, isEvery := strings.CutPrefix(s, "@every ")
	every, _ := time.ParseDuration(text) // The library has read it, and rounds to seconds.
	if isEvery && (every < time.Second || every%time.Second != 0) {
		return nil, fmt.Errorf("schedule %q: use whole seconds, and at least one", s)
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("schedule %q: no such day ever comes; correct the day or the month", s)
	}
	return schedule, nil
}
