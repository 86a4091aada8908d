package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/recount/progress"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
)

type ingestCmd struct {
	serverFlag
	fileFlag
	Files    []string `arg:"" type:"existingfile" help:"Files of events: .csv, .parquet, or .ndjson of CloudEvents."`
	Type     string   `help:"Event type of the rows of CSV and Parquet files."`
	Source   string   `help:"CloudEvents source of the rows; when empty, the file's name, or none with --id."`
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
	std         streams
	client      *client.Client
	bar         *progress.Bar
	accepted    atomic.Int64
	rejected    atomic.Int64
	unconfirmed atomic.Int64 // unconfirmed counts events that were sent, and for which no final answer came.
	reached     atomic.Bool  // reached means that a server has answered.
	nextWarn    atomic.Int64 // nextWarn is when the next failure is printed, in Unix nanoseconds.
}

// Run sends every file. It fails if a file could not be sent whole or an event was rejected. A file that cannot be read
// to its end does not keep the files after it from being sent.
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
	if err := c.declare(ctx, std, &m); err != nil {
		return err
	}
	if err := c.openAll(m); err != nil {
		return fmt.Errorf("%w\nnothing was sent", err)
	}
	if m.Type != "" && m.Time == "" {
		fmt.Fprintln(std.err, "rows count at the time of sending, because --time names no column")
	}
	err = c.files(ctx, r, m)
	fmt.Fprintln(std.out, r.tally())
	if n := r.rejected.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("rejected %s", count(n, "event")))
	}
	return err
}

// tally says what became of the events that were sent.
func (r *ingestRun) tally() string {
	text := fmt.Sprintf("accepted %d, rejected %d", r.accepted.Load(), r.rejected.Load())
	if n := r.unconfirmed.Load(); n > 0 {
		text += fmt.Sprintf(", not confirmed %d", n)
	}
	return text
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
	if m.Fields = catalog.Events[c.Type]; m.Fields == nil && c.Type != "" {
		return m, usageError{fmt.Errorf("--type %s: %s declares no such event type", c.Type, c.ConfigFile)}
	}
	return m, nil
}

// listTimeout is how long the server may take to list its views.
const listTimeout = 10 * time.Second

// declare adds the fields that views of the server count, unless a configuration has declared all fields. The fields
// stay unknown, and the user is told, if the key may not list views or the server takes events only.
func (c *ingestCmd) declare(ctx context.Context, std streams, m *eventfile.Mapping) error {
	if m.Fields != nil || m.Type == "" {
		return nil
	}
	server, err := c.connect(client.Config{OnRetry: impatient})
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	views, err := server.Views(ctx)
	var network *net.OpError
	if errors.As(err, &network) {
		return noServer(err)
	}
	if err != nil {
		fmt.Fprintf(std.err, "columns are not compared with the fields of %s, because the server does not list its "+
			"views: %v; give --config to compare them\n", m.Type, explain(err))
		return nil
	}
	m.Fields = countedFields(views, m.Type)
	return nil
}

// countedFields returns the fields of an event type that views count.
func countedFields(views []openapi.View, eventType string) *catalog.EventType {
	e := &catalog.EventType{Name: eventType}
	add := func(name string, t catalog.FieldType) {
		if _, ok := e.Column(name); !ok && name != "" {
			e.Fields = append(e.Fields, catalog.Field{Name: name, Type: t})
		}
	}
	for _, v := range views {
		if v.Event != eventType {
			continue
		}
		for _, d := range v.Dimensions {
			add(d.Name, d.Type)
		}
		for _, m := range v.Measures {
			add(m.Field, m.Type)
		}
		for _, f := range v.Where {
			add(f.Field, "") // The view does not say the type.
		}
	}
	return e
}

// openAll finds the files that cannot be sent at all before anything is sent.
func (c *ingestCmd) openAll(m eventfile.Mapping) error {
	var errs []error
	for _, path := range c.Files {
		f, err := eventfile.Open(path, m)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// files sends the files in their order. It ends when a request has failed, because the next one would fail too.
func (c *ingestCmd) files(ctx context.Context, r *ingestRun, m eventfile.Mapping) error {
	var errs []error
	for i, path := range c.Files {
		unread, unsent := c.file(ctx, r, path, m)
		if unread != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, unread))
		}
		if unsent != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, unsent))
			if rest := c.Files[i+1:]; len(rest) > 0 {
				errs = append(errs, fmt.Errorf("not sent: %s", strings.Join(rest, ", ")))
			}
			break
		}
	}
	return errors.Join(errs...)
}

// file sends one file. The first error says why the file could not be read to its end; everything before that place is
// sent. The second error says why requests failed.
func (c *ingestCmd) file(ctx context.Context, r *ingestRun, path string, m eventfile.Mapping) (unread, unsent error) {
	f, err := eventfile.Open(path, m)
	if err != nil {
		return err, nil
	}
	defer f.Close()
	defer r.bar.Clear()
	g, sending := errgroup.WithContext(ctx)
	g.SetLimit(c.InFlight)
	read := 0
	for err == nil && sending.Err() == nil {
		var body []byte
		var events int
		body, events, err = c.body(f)
		if events > 0 {
			first := read + 1
			g.Go(func() error { return r.send(sending, body, events, first) })
		}
		read += events
		done, total := f.Progress()
		r.bar.Set(done, total, fmt.Sprintf("of %s read, %s accepted", path, count(r.accepted.Load(), "event")))
	}
	switch unsent = g.Wait(); {
	case unsent != nil:
	case err == nil: // A signal between two requests ended the reading.
		unsent = context.Cause(ctx)
	case !errors.Is(err, io.EOF):
		unread = fmt.Errorf("%w (sent before it: %s; what you send again counts once)", err, count(read, "event"))
	}
	return unread, unsent
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

// send sends one request of some events, the first of which has the number first in its file.
func (r *ingestRun) send(ctx context.Context, body []byte, events, first int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	answer, err := r.client.SendLines(ctx, body)
	r.count(answer, events, first)
	if err != nil {
		return explain(err)
	}
	r.reached.Store(true)
	return nil
}

// count adds the outcomes of a request to the tally, and prints the first rejections.
func (r *ingestRun) count(answer client.Result, events, first int) {
	r.accepted.Add(int64(answer.Accepted))
	events -= answer.Accepted
	for _, e := range answer.Rejected {
		if e.Code.RetryEvent() {
			continue // The server may accept it yet, so the request has failed.
		}
		events--
		if n := r.rejected.Add(1); n <= maxShown {
			r.bar.Clear()
			fmt.Fprintf(r.std.err, "event %d (id %q) rejected: %s: %s\n", first+e.Index, e.ID, e.Code,
				escapeControls(e.Message))
		}
	}
	r.unconfirmed.Add(int64(events))
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
