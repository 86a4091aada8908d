// Package bench measures the whole path: from HTTP to the fsynced acknowledgement, from the lake
// to ClickHouse, and the merged answer. Run it with make bench. Every figure is a metric of a
// benchmark; none is asserted.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/server"
	"recount/schemas/query"
)

// The dimensions of the view.
const (
	// dense gives one and a half events a row on average.
	dense = "origin, carrier, cabin"
	// sparse gives nearly every event its own row.
	sparse = "origin, destination, tail"
	// grouped gives 93 events a row, which is the most usual case.
	grouped = "carrier, cabin, source"
)

// configuration is that of the benchmarks. Nothing is recomputed unless a benchmark runs the job.
const configuration = `
landing: {cut_interval: 1s}
events:
  flight.departed:
    fields:
      origin: string
      destination: string
      carrier: string
      cabin: string
      tail: string
      delay: int64
      distance: float64
views:
  departures:
    event: flight.departed
    dimensions: [%s]
    measures: {flights: {count: {}}, miles: {sum: distance}, worst: {max: delay}, aircraft: {distinct: tail}}
jobs:
  recompute: {schedule: ""}
  collect: {schedule: ""}
  expire: {schedule: ""}
`

// startServer runs a server for one benchmark. The caller must call stop.
func startServer(b *testing.B, dimensions string) (_ *server.Server, stop func()) {
	b.Helper()
	dir := b.TempDir()
	path := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, configuration, dimensions), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := server.Load(path, map[string]string{"data-dir": filepath.Join(dir, "data"), "listen": "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stack, err := server.Open(ctx, cfg, server.Options{Roles: server.AllRoles})
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- stack.Run(ctx) }()
	return stack, func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// batch is the number of events of a request.
const batch = 1000

// bodies encodes n requests of 1,000 events each. The events have 300 origins and destinations with
// a skew, 10 carriers, 3 cabins, 5,000 aircraft, and times within six hours.
func bodies(n int, prefix string) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.2, 8, 299)
	out := make([][]byte, n)
	for i := range out {
		b := make([]byte, 0, batch*230)
		for j := range batch {
			b = append(b, `{"specversion":"1.0","id":"`...)
			b = append(b, prefix...)
			b = strconv.AppendInt(b, int64(i*batch+j), 10)
			b = append(b, `","source":"bench","type":"flight.departed","time":"`...)
			b = time.Unix(1704067200+rng.Int64N(6*3600), 0).UTC().AppendFormat(b, time.RFC3339)
			b = fmt.Appendf(b, `","data":{"origin":"A%02d","destination":"A%02d","carrier":"C%d","cabin":"K%d",`+
				`"tail":"N%d","delay":%d,"distance":%d}}`+"\n",
				zipf.Uint64(), zipf.Uint64(), rng.IntN(10), rng.IntN(3), rng.IntN(5000), rng.IntN(200)-20,
				100+rng.IntN(2500))
		}
		out[i] = b
	}
	return out
}

// sendAll sends every body over the given number of connections.
func sendAll(b *testing.B, url string, all [][]byte, connections int) {
	b.Helper()
	var next, retries atomic.Int64
	c := connect(b, client.Config{URL: url, Connections: connections, OnRetry: func(error) error {
		retries.Add(1)
		return nil
	}})
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				if _, err := c.SendLines(context.Background(), all[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(retries.Load()), "retries")
}

// BenchmarkIngest measures acknowledged events a second over HTTP, with 1,000 events a request and
// with fsync. The same process aggregates and lands the events.
func BenchmarkIngest(b *testing.B) {
	stack, stop := startServer(b, dense)
	defer stop()
	all := bodies(1000, "i")
	sendAll(b, stack.URL(), bodies(50, "warm"), 8)
	b.ResetTimer()
	began := time.Now()
	for range b.N {
		sendAll(b, stack.URL(), all, 8)
	}
	events := float64(len(all) * batch * b.N)
	b.ReportMetric(events/time.Since(began).Seconds(), "events/s")
}

// BenchmarkRecompute measures how many landed events a second a recompute turns into fsynced and
// verified ClickHouse rows: deduplicated, by minute and three dimensions, with exact distinct
// counts.
func BenchmarkRecompute(b *testing.B) {
	for name, dimensions := range map[string]string{"grouped": grouped, "dense": dense, "sparse": sparse} {
		b.Run(name, func(b *testing.B) {
			var took, used time.Duration
			var rows float64
			all := bodies(1000, "r")
			for range b.N {
				stack, stop := startServer(b, dimensions)
				sendAll(b, stack.URL(), all, 8)
				waitUntilLanded(b, stack.URL(), len(all)*batch)
				c := connect(b, client.Config{URL: stack.URL()})
				began := time.Now()
				cpu := cpuTime(b)
				recompute(b, c)
				took += time.Since(began)
				used += cpuTime(b) - cpu
				rows += metric(b, stack.URL(), "recount_batch_rows_total")
				stop()
			}
			b.ReportMetric(float64(b.N*len(all)*batch)/took.Seconds(), "events/s")
			b.ReportMetric(used.Seconds()*1e6/float64(b.N*len(all)*batch), "cpu-µs/event")
			b.ReportMetric(rows/float64(b.N), "rows")
		})
	}
}

// cpuTime returns the processor time that this process has used so far. Unlike elapsed time, it
// shows what a change saves even while other processes keep the machine busy.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// waitUntilLanded waits until the lake holds n events.
func waitUntilLanded(b *testing.B, url string, n int) {
	b.Helper()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if metric(b, url, "recount_landing_events_total") >= float64(n) {
			return
		}
	}
	b.Fatalf("fewer than %d events landed within a minute", n)
}

// BenchmarkMergedQuery measures the latency of a merged answer over 100,000 cells: groups of batch
// rows with a live part.
func BenchmarkMergedQuery(b *testing.B) {
	stack, stop := startServer(b, sparse)
	defer stop()
	sendAll(b, stack.URL(), bodies(101, "q"), 8)
	waitUntilLanded(b, stack.URL(), 101*batch)
	c := connect(b, client.Config{URL: stack.URL()})
	recompute(b, c)
	sendAll(b, stack.URL(), bodies(5, "live"), 2)
	const sixHours = `"from":"2024-01-01T00:00:00Z","to":"2024-01-01T06:00:00Z","group_by":["origin"]`
	for name, q := range map[string]string{
		"sum": `{"view":"departures","measures":["flights","miles"],` + sixHours + `}`,
		"hourly": `{"view":"departures","measures":["flights","worst"],"granularity":"1h","limit":10000,` +
			sixHours + `}`,
		"distinct": `{"view":"departures","measures":["aircraft"],` + sixHours + `}`,
	} {
		b.Run(name, func(b *testing.B) {
			for range 20 {
				ask(b, c, q)
			}
			var took []time.Duration
			used := cpuTime(b)
			for range 300 {
				began := time.Now()
				ask(b, c, q)
				took = append(took, time.Since(began))
			}
			b.ReportMetric((cpuTime(b)-used).Seconds()*1e3/float64(len(took)), "cpu-ms")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
			b.ReportMetric(metric(b, stack.URL(), "recount_batch_rows_total"), "cells")
		})
	}
}

// flightsQuery counts the flights of the day of all events.
const flightsQuery = `{"view":"departures","measures":["flights"],` +
	`"from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z"}`

// BenchmarkVisible measures the time from an acknowledgement until an answer counts the event.
func BenchmarkVisible(b *testing.B) {
	stack, stop := startServer(b, dense)
	defer stop()
	c := connect(b, client.Config{URL: stack.URL()})
	var took []time.Duration
	for i := range 200 {
		body := bytes.ReplaceAll(bodies(1, "v")[0][:230], []byte(`"id":"v`), fmt.Appendf(nil, `"id":"x%d-`, i))
		body = body[:bytes.IndexByte(body, '\n')+1]
		if _, err := c.SendLines(context.Background(), body); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for {
			var rows []struct{ Flights int }
			if _, err := c.Query(context.Background(), parseQuery(flightsQuery), &rows); err != nil {
				b.Fatal(err)
			}
			if len(rows) > 0 && rows[0].Flights > i {
				break
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
}

// connect returns a client that is closed when the benchmark ends.
func connect(b *testing.B, cfg client.Config) *client.Client {
	b.Helper()
	c, err := client.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// parseQuery reads a query that a benchmark holds as text.
func parseQuery(text string) *query.Query {
	q, err := query.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return q
}

// ask sends a query and reads its answer without decoding it.
func ask(b *testing.B, c *client.Client, text string) {
	b.Helper()
	answer, err := c.QueryAs(context.Background(), parseQuery(text), client.JSON)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer); err != nil {
		b.Fatal(err)
	}
	if err := answer.Close(); err != nil {
		b.Fatal(err)
	}
}

// recompute runs the job and waits for its end.
func recompute(b *testing.B, c *client.Client) {
	b.Helper()
	if _, err := c.RunJob(context.Background(), "recompute"); err != nil {
		b.Fatal(err)
	}
}

// metric returns the sum of a metric over its labels.
func metric(b *testing.B, url, name string) float64 {
	b.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for line := range bytes.Lines(raw) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest[bytes.LastIndexByte(rest, ' '):])), 64)
		if err != nil {
			b.Fatal(err)
		}
		total += v
	}
	return total
}
