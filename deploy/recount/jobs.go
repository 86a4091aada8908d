package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"recount/deploy/client"
	"recount/schemas/openapi"
)

type jobsCmd struct {
	List jobsListCmd `cmd:"" help:"List jobs and their latest runs."`
	Run  jobsRunCmd  `cmd:"" help:"Run a job now, and wait until it ends."`
}

type jobsListCmd struct{ serverFlag }

// Run prints one line for each job.
func (c *jobsListCmd) Run(ctx context.Context, std streams) error {
	jobs, err := fetch(c.serverFlag, func(server *client.Client) ([]openapi.Job, error) { return server.Jobs(ctx) })
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tSCHEDULE\tNEXT\tLAST RUN\tTOOK\tROWS\tOUTCOME")
	for _, j := range jobs {
		last := "-"
		took := "-"
		rows := "-"
		outcome := "-"
		if len(j.Runs) > 0 {
			r := j.Runs[0]
			last = stamp(r.Start)
			took = r.End.Sub(r.Start).Round(time.Millisecond).String()
			rows = fmt.Sprint(r.Rows)
			outcome = describe(r)
		}
		if j.Running {
			took = "-"
			outcome = "running"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", j.Name, j.Schedule, stamp(j.Next), last, took, rows, outcome)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(std.err, "scheduled runs that found nothing to do are not recorded, so they are not listed")
	return nil
}

// stamp formats a time to the second. It returns a dash for a missing time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}

// describe returns the outcome of a run.
func describe(r openapi.Run) string {
	switch {
	case r.Error != "":
		return "failed: " + r.Error
	case r.Message != "":
		return r.Message
	}
	return "ok"
}

type jobsRunCmd struct {
	serverFlag
	Name string `arg:"" help:"Name of the job."`
}

// Run starts the job and prints its result.
func (c *jobsRunCmd) Run(ctx context.Context, std streams) error {
	r, err := fetch(c.serverFlag,
		func(server *client.Client) (openapi.Run, error) { return server.RunJob(ctx, c.Name) })
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(std.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}
