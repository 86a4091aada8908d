package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/eventfile"
	"recount/deploy/progress"
	"recount/deploy/sender"
)

type ingestCmd struct {
	serverFlag
	fileFlag
	Files    []string `arg:"" type:"existingfile" help:"Files of events: .ndjson with a CloudEvent a line, .csv, .parquet."`
	Type     string   `help:"Event type of the rows of CSV and Parquet files."`
	Source   string   `help:"CloudEvents source of the rows; the file's name when empty."`
	ID       string   `help:"Column of the id; file name and row number when empty, so that sending a file again counts once."`
	Time     string   `help:"Column of the event time; the server's time when empty."`
	Subject  string   `help:"Column of the subject."`
	Batch    int      `default:"1000" help:"Events in a request."`
	InFlight int      `default:"4" help:"Requests at once."`
}

// maxShown is how many rejected events are printed one by one.
const maxShown = 10

// ingestRun is the state of one ingest command.
type ingestRun struct {
	std      streams
	sender   *sender.Sender
	bar      *progress.Bar
	accepted atomic.Int64
	rejected atomic.Int64
}

// Run sends every file and fails if an event was refused.
func (c *ingestCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	if c.Batch < 1 || c.InFlight < 1 {
		return usageError{errors.New("--batch and --in-flight must be at least 1")}
	}
	m := eventfile.Mapping{Type: c.Type, Source: c.Source, ID: c.ID, Time: c.Time, Subject: c.Subject}
	if c.ConfigFile != "" {
		cfg, err := c.load(s)
		if err != nil {
			return err
		}
		cat, err := cfg.Catalog()
		if err != nil {
			return err
		}
		m.Fields = cat.Events[c.Type]
	}
	r := &ingestRun{std: std, sender: sender.New(c.Server, c.InFlight), bar: progress.New(std.err)}
	var err error
	if r.sender.Key, err = c.key(); err != nil {
		return err
	}
	for _, path := range c.Files {
		if err := c.file(ctx, r, path, m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	fmt.Fprintf(std.out, "accepted %d, rejected %d\n", r.accepted.Load(), r.rejected.Load())
	if n := r.rejected.Load(); n > 0 {
		return fmt.Errorf("%d events were rejected", n)
	}
	return nil
}

func (c *ingestCmd) file(ctx context.Context, r *ingestRun, path string, m eventfile.Mapping) error {
	f, err := eventfile.Open(path, m)
	if err != nil {
		return err
	}
	defer f.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.InFlight)
	first := 1
	for more := true; more && ctx.Err() == nil; {
		var body []byte
		lines := 0
		for ; lines < c.Batch && more; lines++ {
			line, err := f.Next()
			if errors.Is(err, io.EOF) {
				more = false
				break
			}
			if err != nil {
				return errors.Join(err, g.Wait())
			}
			body = append(append(body, line...), '\n')
		}
		if lines > 0 {
			at := first
			g.Go(func() error { return r.send(ctx, body, at) })
			first += lines
		}
		done, total := f.Progress()
		r.bar.Set(done, total, fmt.Sprintf("%s: %d accepted", path, r.accepted.Load()))
	}
	err = g.Wait()
	r.bar.Clear()
	return err
}

func (r *ingestRun) send(ctx context.Context, body []byte, first int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	answer, err := r.sender.Send(ctx, body)
	if err != nil {
		return err
	}
	r.accepted.Add(int64(answer.Accepted))
	for _, e := range answer.Rejected {
		if n := r.rejected.Add(1); n <= maxShown {
			r.bar.Clear()
			fmt.Fprintf(r.std.err, "event %d (id %q) rejected: %s: %s\n", first+e.Index, e.ID, e.Code, e.Message)
		}
	}
	return nil
}
