// Package demo replays three million real flights into a server, badly: late,
// twice and broken in part. Then it compares what was counted live, what was
// recomputed exactly, and what ClickHouse says of the source file itself.
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
)

// Options are what the command line says of a demonstration.
type Options struct {
	Rows     int               // flights to replay; all when 0
	Keep     bool              // leave the server up afterwards
	File     string            // the sample data; found in the checkout when empty
	Seed     uint64            // of what is late, doubled and broken
	Settings map[string]string // settings from flags and environment
	Out      io.Writer
	Logger   *slog.Logger
}

// configuration of the demonstration: the file a user would write.
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

// Run replays the flights and prints the comparison. It fails if a number differs
// that should not.
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
	f, err := readFlights(file, o.Rows)
	if err != nil {
		return err
	}
	st, err := server.Open(ctx, cfg, server.Options{Roles: server.AllRoles, Logger: o.Logger})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(serving)
	g.Go(func() error { return st.Run(gctx) })
	g.Go(func() error {
		defer stop()
		return play(gctx, o, st, f, file)
	})
	return g.Wait()
}

func configure(dir string, settings map[string]string) (server.Config, error) {
	path := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		return server.Config{}, err
	}
	given := map[string]string{"data-dir": filepath.Join(dir, "data"), "listen": "127.0.0.1:0"}
	for k, v := range settings {
		given[k] = v
	}
	given["auth.keys-file"] = ""
	given["admin.listen"] = "" // It asks its own server, which is gone afterwards.
	return server.Load(path, given)
}

// play sends the flights, asks for the counts and compares them.
func play(ctx context.Context, o Options, st *server.Server, f *flights, file string) error {
	d := &director{out: o.Out, api: newAPI(st.URL()), sender: client.NewSender(st.URL(), inFlight), flights: f,
		acked: map[int]uint64{}}
	fmt.Fprintf(o.Out, "recount is up at %s\nreplaying %d flights of the first half of 2001 as CloudEvents over HTTP\n",
		st.URL(), f.len())
	started := time.Now()
	if err := d.replay(ctx, o.Seed); err != nil {
		return err
	}
	d.sendTime = time.Since(started)
	if err := d.visible(ctx); err != nil {
		return err
	}
	merged, err := d.api.totals(ctx, "merged")
	if err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	exact, err := d.api.totals(ctx, "exact")
	if err != nil {
		return err
	}
	truth, err := truthOf(ctx, st.ClickHouse(), file, f.len())
	if err != nil {
		return fmt.Errorf("ask ClickHouse for the truth: %w", err)
	}
	failure := d.report(ctx, truth, merged, exact)
	if o.Keep && failure == nil {
		d.keep(st.URL())
		<-ctx.Done()
	}
	return failure
}

// keep says what a user can do with the server that stays up.
func (d *director) keep(url string) {
	fmt.Fprintf(d.out, `
The server stays up at %s until you press Ctrl-C. Try:

  curl -s '%s/v1/query?view=flight_departures&from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z&measures=flights&group_by=origin&order_by=flights:desc&limit=5'
`, url, url)
}

var errDiffers = errors.New("numbers differ that should not")
