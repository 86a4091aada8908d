package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/client/load"
	"recount/schemas/query"
)

// overloadConfig has one view, which is recomputed during the load.
const overloadConfig = `
events: {page.viewed: {fields: {page: string, user: string, ms: int64}}}
views:
  page_views:
    event: page.viewed
    dimensions: [page]
    measures: {views: {count: {}}, ms: {sum: ms}, visitors: {distinct: user}}
jobs:
  recompute: {schedule: "@every 15s"}
`

// stepTime is the length of a step. Every step includes one or two recomputes, whose buckets grow
// from step to step: a server that keeps up with a rate only between recomputes does not keep up.
const stepTime = 20 * time.Second

// maxRatedLatency is the p99 in milliseconds, from the intended send time, that a rated load must
// stay below.
const maxRatedLatency = 250.0

// BenchmarkOverload finds the rated load: the highest of rising rates whose p99 stays below
// maxRatedLatency with nothing shed. Then it offers shares of the rated load. The load generator
// and the server are separate processes on the same processors. The count must be exact after
// each step.
func BenchmarkOverload(b *testing.B) {
	p := startTestServer(b, b.TempDir(), overloadConfig)
	defer p.kill()
	step := overload{b: b, p: p}
	step.run(20_000, 3*time.Second) // warms up
	rated := 50_000.0
	// A rate is too high only if two steps fail: other processes may have disturbed the first.
	sustains := func(rate float64) bool {
		for range 2 {
			s, _ := step.run(rate, stepTime)
			if s.Shed429+s.Shed503+s.Missed == 0 && s.Latency.P99 < maxRatedLatency {
				return true
			}
		}
		return false
	}
	for rate := rated; rate < 2e6 && sustains(rate); rate *= 1.4 {
		rated = rate
	}
	fmt.Printf("rated load: %.0f events/s\n%5s %9s %9s %7s %7s %7s %8s %6s %6s %9s %8s %7s\n", rated,
		"load", "offered", "goodput", "p50 ms", "p99 ms", "max ms", "shed", "503", "missed", "shed p99", "peak MiB",
		"cores")
	for _, share := range []float64{0.5, 0.8, 1, 1.2, 2} {
		s, peak := step.run(share*rated, stepTime)
		shed := 0.0
		if s.Shed != nil {
			shed = s.Shed.P99
		}
		fmt.Printf("%4.0f%% %9.0f %9.0f %7.1f %7.1f %7.1f %7.1f%% %6d %6d %9.1f %8.0f %7.2f\n", share*100, s.Offered,
			s.Goodput, s.Latency.P50, s.Latency.P99, s.Latency.Max,
			100*float64(s.Shed429+s.Shed503)/float64(s.Requests), s.Shed503, s.Missed, shed, peak, s.Cores)
		b.ReportMetric(s.Goodput, fmt.Sprintf("goodput-%.0f%%/s", share*100))
		b.ReportMetric(s.Latency.P99, fmt.Sprintf("p99-%.0f%%-ms", share*100))
		b.ReportMetric(peak, fmt.Sprintf("peak-%.0f%%-MiB", share*100))
	}
}

// overload is a server that gets one load after another.
type overload struct {
	b     *testing.B
	p     *server
	count int64 // count is the number of events that the view must count.
}

// run runs recount load as a separate process and checks that the view counts every acknowledged
// event once. It also returns the server's peak memory in MiB.
func (o *overload) run(rate float64, d time.Duration) (s load.Summary, peak float64) {
	o.b.Helper()
	program, err := built()
	must(o.b, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			peak = max(peak, o.p.residentMiB())
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	out, err := exec.Command(program.path, "load", "--url", o.p.url, "--rate", fmt.Sprint(rate),
		"--duration", d.String(), "--duplicates", "0.02", "--late", "0.02", "--malformed", "0.001", "--json").Output()
	close(stop)
	wg.Wait()
	if err != nil {
		o.b.Fatalf("recount load: %v: %s", err, out)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		o.b.Fatal(err)
	}
	if s.Lost+s.Unreachable > 0 {
		o.b.Fatalf("%d requests got no answer: %s", s.Lost+s.Unreachable, s.Error)
	}
	o.count += s.Distinct
	o.checkCount()
	return s, peak
}

// checkCount waits until the view counts exactly the acknowledged events.
func (o *overload) checkCount() {
	o.b.Helper()
	now := time.Now().UTC().Truncate(24 * time.Hour)
	c := connect(o.b, client.Config{URL: o.p.url})
	q := &query.Query{View: "page_views", Measures: []string{"views"}, From: now.AddDate(0, 0, -2),
		To: now.AddDate(0, 0, 2)}
	var rows []struct{ Views int64 }
	for range 600 {
		if _, err := c.Query(context.Background(), q, &rows); err != nil {
			o.b.Fatal(err)
		}
		if len(rows) == 1 && rows[0].Views == o.count {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	o.b.Fatalf("the view counts %+v, want the %d acknowledged events", rows, o.count)
}
