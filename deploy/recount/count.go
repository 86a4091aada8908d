package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
	"recount/deploy/recount/progress"
	"recount/deploy/server"
	"recount/schemas/query"
)

type countCmd struct {
	Files    []string `arg:"" help:"Files of rows (CSV, TSV, JSON, Parquet), - or s3://…"`
	By       []string `short:"b" placeholder:"COLUMN" help:"Columns to group by."`
	Per      string   `placeholder:"WINDOW" help:"Count per minute, hour, day, week or month."`
	Sum      []string `placeholder:"COLUMN" help:"Columns to add up."`
	Avg      []string `placeholder:"COLUMN" help:"Columns to average."`
	Min      []string `placeholder:"COLUMN" help:"Columns of which to find the least."`
	Max      []string `placeholder:"COLUMN" help:"Columns of which to find the greatest."`
	Distinct []string `placeholder:"COLUMN" help:"Columns of which to count the different values."`
	Quantile []string `placeholder:"COLUMN" help:"Columns of which to find p50, p95 and p99."`
	Limit    int      `default:"100" help:"Maximum number of lines."`
	Keep     string   `type:"path" placeholder:"FOLDER" help:"New folder that keeps the data and a configuration."`
	tableFlags
}

// Run counts rows on a server of its own. It reads the files twice: once to find out what they hold, once to send them.
func (c *countCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	m, err := c.mapping()
	if err != nil {
		return usageError{err}
	}
	files, err := findInputs(ctx, c.Files, m.Table.Format, std.in)
	if err != nil {
		return err
	}
	folder, err := c.folder()
	if err != nil {
		return err
	}
	if c.Keep == "" {
		defer os.RemoveAll(folder)
	}
	for i := range files { // Each row counts, also where another file of the same name has an equal one.
		files[i].Identity = fmt.Sprintf("%d/%s", i+1, files[i].Identity)
	}
	closeSpooled, err := makeRereadable(files)
	defer closeSpooled()
	if err != nil {
		return err
	}
	survey, err := surveyAll(files, m)
	if err != nil {
		return err
	}
	p, err := c.plan(m, survey)
	if err != nil {
		return err
	}
	p.explain(std.err)
	return c.count(ctx, s, std, folder, files, p)
}

// folder makes the folder of the data.
func (c *countCmd) folder() (string, error) {
	if c.Keep == "" {
		return os.MkdirTemp("", "recount-count-")
	}
	if entries, err := os.ReadDir(c.Keep); err == nil && len(entries) > 0 {
		return "", usageError{fmt.Errorf("--keep %s: the folder holds something already; name a new one", c.Keep)}
	}
	return c.Keep, os.MkdirAll(c.Keep, 0o750)
}

// makeRereadable copies what can be read once only into temporary files, which the returned function removes.
func makeRereadable(files []input.File) (remove func(), err error) {
	var spooled []*os.File
	remove = func() {
		for _, f := range spooled {
			_ = f.Close()
		}
	}
	for i, f := range files {
		if !f.Once {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return remove, fmt.Errorf("%s: %w", f.Name, err)
		}
		copied, size, err := input.Spool(content)
		if err = errors.Join(err, content.Close()); err != nil {
			return remove, fmt.Errorf("%s: %w", f.Name, err)
		}
		spooled = append(spooled, copied)
		files[i].Identity = cmp.Or(f.Identity, "-")
		files[i].Open = func() (*input.Content, error) {
			return &input.Content{Reader: io.NewSectionReader(copied, 0, size), At: copied, Size: size,
				Close: func() error { return nil }}, nil
		}
	}
	return remove, nil
}

// surveyAll reads all files to find out what their columns hold.
func surveyAll(files []input.File, m eventfile.Mapping) (*eventfile.Survey, error) {
	survey, err := eventfile.NewSurvey(m)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range files {
		if err := survey.Add(f); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	if len(errs) == 0 && survey.Rows == 0 {
		errs = append(errs, errors.New("there is no row to count"))
	}
	return survey, errors.Join(errs...)
}

// explain says what was decided without being asked.
func (p *countPlan) explain(errw io.Writer) {
	for _, text := range p.survey.Found {
		fmt.Fprintln(errw, text)
	}
	if p.time != nil && p.granularity != "all" {
		fmt.Fprintf(errw, "the time of a row is its column %s\n", p.time.Name)
	}
	for _, text := range p.renamed {
		fmt.Fprintln(errw, text)
	}
	if len(p.left) > 0 {
		fmt.Fprintln(errw, "not kept:", strings.Join(p.left, "; "))
	}
}

// count counts the rows on a server that ends with the command.
func (c *countCmd) count(ctx context.Context, s *settingsFlags, std streams, folder string, files []input.File,
	p *countPlan) error {
	started := time.Now()
	cfg, err := configureCount(s, folder, p, started)
	if err != nil {
		return err
	}
	running, err := server.Open(ctx, cfg, server.Options{Roles: server.AllRoles, Logger: cfg.Logger.New(std.err)})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(serving)
	g.Go(func() error { return running.Run(gctx) })
	g.Go(func() error {
		defer stop()
		return c.play(gctx, std, running.URL(), files, p, started)
	})
	return g.Wait()
}

// configureCount writes the configuration into the folder and loads it. Of the settings of the environment it takes
// only those that say where the engine is and what is logged, because the others may name the engines of real servers.
func configureCount(s *settingsFlags, folder string, p *countPlan, now time.Time) (server.Config, error) {
	text, err := p.configuration(filepath.Join(folder, "data"), now)
	if err != nil {
		return server.Config{}, err
	}
	path := filepath.Join(folder, "recount.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return server.Config{}, err
	}
	values := map[string]string{"log-level": "warn"}
	for _, name := range []string{"clickhouse.library", "log-level", "log-format"} {
		if v, given := s.given()[name]; given {
			values[name] = v
		}
	}
	values["landing.cut-interval"] = "500ms" // The file is for a server that stays, which need not hurry so.
	values["limits.buckets-per-minute"] = "0"
	values["listen"] = "127.0.0.1:0"
	return server.Load(path, values)
}

// play sends the rows, waits until they are counted exactly, and prints the counts.
func (c *countCmd) play(ctx context.Context, std streams, url string, files []input.File, p *countPlan,
	started time.Time) error {
	r := &ingestRun{std: std, bar: progress.New(std.err), mapping: p.mapping,
		ingestCmd: &ingestCmd{Batch: 1000, InFlight: 4, MaxRejected: 1000}}
	var err error
	if r.journal, err = openJournal(""); err != nil {
		return err
	}
	if r.client, err = client.New(client.Config{URL: url, Connections: r.InFlight}); err != nil {
		return err
	}
	defer r.client.Close()
	err = r.sendAll(ctx, files)
	r.printTally(std.err)
	if err == nil && r.accepted.Load() == 0 {
		err = errors.New("no row can be counted")
	}
	if err != nil {
		return err
	}
	answer, err := c.answer(ctx, r.client, p, started)
	if err != nil {
		return explain(err)
	}
	defer answer.Close()
	if err := printTable(std.out, answer); err != nil {
		return err
	}
	if answer.Accuracy.Truncated {
		fmt.Fprintln(std.err, "there are more lines; raise --limit to see them")
	}
	printOutOfRange(std.err, &answer.Accuracy)
	if len(p.rounded) > 0 {
		fmt.Fprintln(std.err, "added up in float64, so the last digits may be rounded:", strings.Join(p.rounded, ", "))
	}
	if err := c.explainTotal(ctx, std.err, r, p, started); err != nil {
		return explain(err)
	}
	c.explainNext(std.err)
	if n := r.rejected.Load(); n > 0 {
		return fmt.Errorf("%s could not be counted", count(n, "row"))
	}
	return nil
}

// The pause between two looks at the server, and how many times in a row it may show the same.
const (
	lookEvery = 100 * time.Millisecond
	lookMost  = 1200
)

// answer returns the counts once they are exact.
func (c *countCmd) answer(ctx context.Context, api *client.Client, p *countPlan, started time.Time) (*client.Answer,
	error) {
	var last query.Accuracy
	var failure error
	for same := 0; same < lookMost; same++ {
		answer, err := api.QueryParameters(ctx, p.query(started, c.Limit), client.CSV)
		if err != nil {
			return nil, err
		}
		now := answer.Accuracy
		if now.Exact && now.Complete {
			return answer, nil
		}
		if err := answer.Close(); err != nil {
			return nil, err
		}
		if now.Publication != last.Publication || now.PendingEvents != last.PendingEvents {
			same = 0
		}
		last = now
		if _, err := api.RunJob(ctx, "recompute"); err != nil {
			failure = err // The job may run already. If not, the counts do not change any more.
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
	return nil, errors.Join(fmt.Errorf("the counts do not become exact: %d events are pending since publication %d",
		last.PendingEvents, last.Publication), failure)
}

// explainTotal says how many rows are in the counts.
func (c *countCmd) explainTotal(ctx context.Context, errw io.Writer, r *ingestRun, p *countPlan,
	started time.Time) error {
	total := p.query(started, 1)
	total.Set("granularity", "all")
	total.Set("measures", p.counter)
	total.Del("group_by")
	total.Del("order_by")
	answer, err := r.client.QueryParameters(ctx, total, client.JSON)
	if err != nil {
		return err
	}
	defer answer.Close()
	var got struct{ Rows []map[string]int64 }
	if err := json.NewDecoder(answer).Decode(&got); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var counted int64
	for _, row := range got.Rows {
		counted += row[p.counter]
	}
	fmt.Fprintf(errw, "counted %s exactly in %.1f s\n", count(counted, "row"), time.Since(started).Seconds())
	if copies := r.accepted.Load() - counted; copies > 0 {
		fmt.Fprintf(errw, "not counted, because the id was there before: %s\n", count(copies, "row"))
	}
	return nil
}

// explainNext says what became of the server, and what a user can do next.
func (c *countCmd) explainNext(errw io.Writer) {
	if c.Keep == "" {
		fmt.Fprintln(errw, "the server was temporary; --keep FOLDER keeps its data, for more questions and more files")
		return
	}
	fmt.Fprintf(errw, `the data and recount.yaml are in %s; go on with

  recount up --config %s
  recount query %s --from 1970-01-01T00:00:00Z --to 2100-01-01T00:00:00Z
`, c.Keep, filepath.Join(c.Keep, "recount.yaml"), countView)
}
