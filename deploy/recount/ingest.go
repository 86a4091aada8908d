package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/recount/progress"
)

type ingestCmd struct {
	serverFlag
	fileFlag
	Files    []string `arg:"" type:"existingfile" help:"Files of events: .csv, .parquet, or .ndjson of CloudEvents."`
	Type     string   `help:"Event type of the rows of CSV and Parquet files."`
	Source   string   `help:"CloudEvents source of the rows; when empty, the file's name."`
	ID       string   `help:"Column of the id; when empty, made of file name, row number and content."`
	Time     string   `help:"Column of the event time; when empty, the server's time."`
	Subject  string   `help:"Column of the subject."`
	Batch    int      `default:"1000" help:"Events in a request."`
	InFlight int      `default:"4" help:"Requests that are sent at the same time."`
}

// maxShown is how many rejected events are printed one by one.
const maxShown = 10

// maxBody is the size in bytes at which a request ends even if it has fewer events than --batch. A server accepts
// requests of at most ingest.max_body bytes.
const maxBody = 8 << 20

// warnEvery is how often a run reports why events are not accepted.
const warnEvery = 5 * time.Second

// ingestRun is the state of one ingest command.
type ingestRun struct {
	std      streams
	client   *client.Client
	bar      *progress.Bar
	accepted atomic.Int64
	rejected atomic.Int64
	reached  atomic.Bool  // reached means that a server has answered.
	nextWarn atomic.Int64 // nextWarn is when the next failure is printed, in Unix nanoseconds.
}

// Run sends every file. It fails if an event was rejected.
func (c *ingestCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	m, err := c.mapping(s)
	if err != nil {
		return err
	}
	r := &ingestRun{std: std, bar: progress.New(std.err)}
	if r.client, err = c.connect(client.Config{Connections: c.InFlight, OnRetry: r.warn}); err != nil {
		return err
	}
	defer r.client.Close()
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

// mapping checks the command line before anything is sent, and returns how rows become events.
func (c *ingestCmd) mapping(s *settingsFlags) (eventfile.Mapping, error) {
	m := eventfile.Mapping{Type: c.Type, Source: c.Source, ID: c.ID, Time: c.Time, Subject: c.Subject}
	if c.Batch < 1 || c.InFlight < 1 {
		return m, usageError{errors.New("--batch and --in-flight must be at least 1")}
	}
	if err := eventfile.Check(c.Files, m); err != nil {
		return m, usageError{err}
	}
	if c.ConfigFile == "" {
		return m, nil
	}
	cfg, err := c.load(s)
	if err != nil {
		return m, err
	}
	catalog, err := cfg.Catalog()
	if err != nil {
		return m, err
	}
	m.Fields = catalog.Events[c.Type]
	return m, nil
}

// file sends one file.
func (c *ingestCmd) file(ctx context.Context, r *ingestRun, path string, m eventfile.Mapping) error {
	f, err := eventfile.Open(path, m)
	if err != nil {
		return err
	}
	defer f.Close()
	defer r.bar.Clear()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.InFlight)
	first := 1
	for more := true; more && ctx.Err() == nil; {
		body, events, err := c.body(f)
		if more = err == nil; !more && !errors.Is(err, io.EOF) {
			return errors.Join(err, g.Wait())
		}
		if events > 0 {
			number := first
			g.Go(func() error { return r.send(ctx, body, number) })
			first += events
		}
		done, total := f.Progress()
		r.bar.Set(done, total, fmt.Sprintf("of %s read, %d events accepted", path, r.accepted.Load()))
	}
	return g.Wait()
}

// body reads the events of the next request. It returns io.EOF together with the last events.
func (c *ingestCmd) body(f eventfile.Reader) (body []byte, events int, err error) {
	for ; events < c.Batch && len(body) < maxBody; events++ {
		line, err := f.Next()
		if err != nil {
			return body, events, err
		}
		body = append(append(body, line...), '\n')
	}
	return body, events, nil
}

// send sends one request, whose first event has the number first in its file.
func (r *ingestRun) send(ctx context.Context, body []byte, first int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	answer, err := r.client.SendLines(ctx, body)
	if err != nil {
		return explain(err)
	}
	r.reached.Store(true)
	r.accepted.Add(int64(answer.Accepted))
	for _, e := range answer.Rejected {
		if n := r.rejected.Add(1); n <= maxShown {
			r.bar.Clear()
			fmt.Fprintf(r.std.err, "event %d (id %q) rejected: %s: %s\n", first+e.Index, e.ID, e.Code,
				escapeControls(e.Message))
		}
	}
	return nil
}

// warn prints why a request is sent again. It ends the run if no server has ever answered: a server that restarts comes
// back, but a wrong address stays wrong.
func (r *ingestRun) warn(failure error) error {
	if !errors.Is(failure, syscall.ECONNREFUSED) {
		r.reached.Store(true)
	} else if !r.reached.Load() {
		return failure
	}
	now := time.Now()
	next := r.nextWarn.Load()
	if now.UnixNano() >= next && r.nextWarn.CompareAndSwap(next, now.Add(warnEvery).UnixNano()) {
		r.bar.Clear()
		fmt.Fprintf(r.std.err, "events are not accepted yet, trying again: %v\n", failure)
	}
	return nil
}
