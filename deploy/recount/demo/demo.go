// Package demo replays three million real flights into a server as a bad client would: some events are late, some are
// sent twice, some are malformed. Then it compares three counts: the live one, the exact one after the recompute, and
// the one that ClickHouse computes from the source file.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/server"
	"recount/schemas/query"
)

// Options are the options of a demonstration on the command line.
type Options struct {
	Rows     int               // Rows is how many flights are replayed. 0 means all.
	Keep     bool              // Keep leaves the server up after the comparison.
	File     string            // File is the sample data. Empty means that FindFlights finds it in the checkout.
	Seed     uint64            // Seed determines which events are late, duplicate and malformed.
	Settings map[string]string // Settings are those given by flags and environment.
	Out      io.Writer
	Logger   *slog.Logger
}

// configuration is the file that a user would write for the demonstration.
const configuration = `
log: {partitions: 4}
landing: {cut_interval: 5s}
speed: {snapshot_interval: 10s}
events:
  flight.departed:
    fields: {origin: string, destination: string, route: string, delay: int64, distance: int64}
views:
  flight_departures:
    event: flight.departed
    dimensions: [origin]
    cell: 1h
    measures:
      flights: {count: {}}
      miles:   {sum: distance}
      worst:   {max: delay}
      delay:   {avg: delay}
      routes:  {distinct: route}
jobs:
  recompute: {schedule: "@every 5s"}
`

// Run replays the flights and prints the comparison. It fails if the counts differ by more than their stated error.
func Run(ctx context.Context, o Options) error {
	if o.File == "" {
		path, err := FindFlights()
		if err != nil {
			return err
		}
		o.File = path
	}
	file, err := filepath.Abs(o.File)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recount-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg, err := configure(dir, o.Settings)
	if err != nil {
		return err
	}
	flights, err := ReadFlights(file, o.Rows)
	if err != nil {
		return err
	}
	running, err := server.Open(ctx, cfg, server.Options{Roles: server.AllRoles, Logger: o.Logger})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(serving)
	g.Go(func() error { return running.Run(gctx) })
	g.Go(func() error {
		defer stop()
		return play(gctx, o, running, flights, file)
	})
	return g.Wait()
}

// configure writes the configuration into a folder and loads it with the settings from the command line. It sets no
// keys file, so the server listens on a loopback address only.
func configure(dir string, settings map[string]string) (server.Config, error) {
	path := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		return server.Config{}, err
	}
	values := map[string]string{"data-dir": filepath.Join(dir, "data"), "listen": "127.0.0.1:0"}
	for k, v := range settings {
		values[k] = v
	}
	values["auth.keys-file"] = ""
	values["admin.listen"] = "" // A demonstration needs no metrics, and one address is enough.
	return server.Load(path, values)
}

// play sends the flights, asks for the counts and compares them.
func play(ctx context.Context, o Options, running *server.Server, f *Flights, file string) error {
	d := &director{out: o.Out, flights: f, acked: map[int]uint64{}}
	queries, err := client.New(client.Config{URL: running.URL()})
	if err != nil {
		return err
	}
	defer queries.Close()
	d.api = &api{queries}
	if d.sender, err = client.New(client.Config{URL: running.URL(), Connections: inFlight,
		OnRetry: d.countRetry}); err != nil {
		return err
	}
	defer d.sender.Close()
	fmt.Fprintf(o.Out, "recount is up at %s\nreplaying %d flights of the first half of 2001 as CloudEvents over HTTP\n",
		running.URL(), f.Len())
	started := time.Now()
	if err := d.replay(ctx, o.Seed); err != nil {
		return err
	}
	d.sendTime = time.Since(started)
	if err := d.waitVisible(ctx); err != nil {
		return err
	}
	merged, err := d.api.totals(ctx, query.Merged)
	if err != nil {
		return err
	}
	if err := d.waitExact(ctx); err != nil {
		return err
	}
	exact, err := d.api.totals(ctx, query.Exact)
	if err != nil {
		return err
	}
	truth, err := countFile(ctx, running.ClickHouse(), file, f.Len())
	if err != nil {
		return fmt.Errorf("count the source file with ClickHouse: %w", err)
	}
	failure := d.report(ctx, truth, merged, exact)
	if o.Keep && failure == nil {
		d.explainNext(running.URL())
		<-ctx.Done()
	}
	return failure
}

// explainNext prints what a user can try with the server, which stays up.
func (d *director) explainNext(url string) {
	fmt.Fprintf(d.out, `
The server stays up at %s until you press Ctrl-C. Try:

  curl -s '%s/v1/query?view=flight_departures&from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z`+
		`&measures=flights&group_by=origin&order_by=flights:desc&limit=5'
`, url, url)
}

var errDiffers = errors.New("the counts differ more than they may; this is an error in recount, please report it")
