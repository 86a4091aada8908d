package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
	"recount/deploy/recount/progress"
)

type ingestCmd struct {
	serverFlag
	fileFlag
	Files   []string `arg:"" help:"Files of events (JSON) or rows (CSV, TSV, JSON, Parquet), - or s3://…"`
	Type    string   `help:"Event type of rows. Without it, files hold CloudEvents."`
	Source  string   `help:"CloudEvents source of rows; when empty, the file's name, or none with --id."`
	Subject string   `placeholder:"COLUMN" help:"Column of the subject."`
	tableFlags
	Extra       string `default:"" enum:",refuse,keep,ignore" help:"Columns that are no field: refuse, keep or ignore."`
	Declare     bool   `help:"Declare the columns that are no field."`
	DryRun      bool   `help:"Show how rows would count, and send nothing."`
	Resume      string `type:"path" placeholder:"FILE" help:"File that remembers what was sent."`
	MaxRejected int64  `default:"1000" help:"Stop when more events are rejected; -1 never stops."`
	Batch       int    `default:"1000" help:"Events in a request."`
	InFlight    int    `default:"4" help:"Requests that are sent at the same time."`
}

// Run sends every file. It fails if a file could not be sent whole or an event was rejected. A file that cannot be read
// to its end does not keep the files after it from being sent.
func (c *ingestCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	m, err := c.mapping(s)
	if err != nil {
		return err
	}
	files, err := findInputs(ctx, c.Files, m.Table.Format, std.in)
	if err != nil {
		return err
	}
	if c.Declare {
		closeSpooled, err := makeRereadable(files)
		defer closeSpooled()
		if err != nil {
			return err
		}
	}
	if err := c.learnFields(ctx, std, &m, files); err != nil {
		return err
	}
	r := &ingestRun{ingestCmd: c, std: std, bar: progress.New(std.err), mapping: m}
	if r.opened, err = openAll(std.err, files, m); err != nil {
		return err
	}
	defer r.closeOpened()
	if m.Type != "" && m.Time == "" {
		fmt.Fprintln(std.err, "rows count at the time of sending, because --time names no column")
	}
	if c.DryRun {
		return r.dryRun(files)
	}
	if r.journal, err = openJournal(c.Resume); err != nil {
		return err
	}
	if r.client, err = c.connect(client.Config{Connections: c.InFlight, OnRetry: r.warn}); err != nil {
		return err
	}
	defer r.client.Close()
	err = errors.Join(r.sendAll(ctx, files), r.journal.save())
	r.printTally(std.out)
	r.printDiscovered(std.out, c.serverFlag)
	if c.Declare {
		c.printUncounted(ctx, std.out, r.client)
	}
	if n := r.rejected.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("rejected %s", count(n, "event")))
	}
	return err
}

// mapping checks the command line before anything is sent, and returns how rows become events.
func (c *ingestCmd) mapping(s *settingsFlags) (eventfile.Mapping, error) {
	m, err := c.tableFlags.mapping()
	if err != nil {
		return m, usageError{err}
	}
	m.Type = c.Type
	m.Source = c.Source
	m.Subject = c.Subject
	m.Extra = eventfile.Extra(c.Extra)
	if c.Batch < 1 || c.InFlight < 1 {
		return m, usageError{errors.New("--batch and --in-flight must be at least 1")}
	}
	if c.Type == "" && (c.given() || c.Source != "" || c.Subject != "") {
		return m, usageError{errors.New("--source, --id, --time, --subject and other flags for rows need their event " +
			"type, --type; for whole CloudEvents leave them out")}
	}
	if c.Declare && (c.Type == "" || c.ConfigFile != "" || c.Extra != "" && c.Extra != "refuse") {
		return m, usageError{errors.New("--declare needs --type, and goes with neither --config nor --extra: it " +
			"declares the columns at the server")}
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

// openAll finds the files that cannot be sent at all before anything is sent, and says what was found out about the
// others. It returns the readers of the files that can be opened once only.
func openAll(errw io.Writer, files []input.File, m eventfile.Mapping) (map[string]*eventfile.Reader, error) {
	var errs []error
	kept := map[string]*eventfile.Reader{}
	named := map[string]string{}
	for _, f := range files {
		if kept[f.Name] != nil {
			errs = append(errs, fmt.Errorf("%s: it is named twice, and can be read once only; name it once", f.Name))
			continue
		}
		r, err := eventfile.Open(f, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
			continue
		}
		err = r.Probe()
		if len(r.Found) > 0 {
			fmt.Fprintf(errw, "%s: %s\n", f.Name, strings.Join(r.Found, ", "))
		}
		if other, same := named[f.Identity]; same && r.Rows && len(m.ID) == 0 {
			err = errors.Join(err, fmt.Errorf("it has the same name as %s, which identifies its rows: a row that is "+
				"equal in both would count once. Name the columns of the id with --id, or send each file with its "+
				"own --source", other))
		}
		if r.Rows {
			named[f.Identity] = f.Name
		}
		if f.Once {
			kept[f.Name] = r
		} else {
			err = errors.Join(err, r.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	err := errors.Join(errs...)
	if err == nil && m.Type != "" && len(named) == 0 {
		err = errors.New("--type and the flags for rows are of no use, because the files hold whole CloudEvents; " +
			"leave them out")
	}
	if err != nil {
		for _, r := range kept {
			_ = r.Close()
		}
		return nil, fmt.Errorf("%w\nnothing was sent", err)
	}
	return kept, nil
}
