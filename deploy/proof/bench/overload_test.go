package bench

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"recount/deploy/client/load"
)

// overloadConfig is one view, recomputed while the load goes on.
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

// stepTime lets every step meet a recompute or two, whose buckets grow from step to step: a rate
// that is carried between two of them only is not carried.
const stepTime = 20 * time.Second

// maxRated is the largest p99 from the intended send time that a rated load may have.
const maxRated = 250.0

// BenchmarkOverload finds the rated load, the highest of a rising series whose p99 stays below
// maxRated milliseconds with nothing shed, and then offers shares of it: generator and server are
// processes of their own on the same processors. After each the count must be exact.
func BenchmarkOverload(b *testing.B) {
	p := startProcess(b, b.TempDir(), overloadConfig)
	defer p.kill()
	step := overload{b, p, 0}
	step.run(20_000, 3*time.Second) // warms up
	rated := 50_000.0
	// A rate counts as too high when it is so twice: the processors may be busy with something else.
	carries := func(rate float64) bool {
		for range 2 {
			s, _ := step.run(rate, stepTime)
			if s.Shed429+s.Shed503+s.Missed == 0 && s.Latency.P99 < maxRated {
				return true
			}
		}
		return false
	}
	for rate := rated; rate < 2e6 && carries(rate); rate *= 1.4 {
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
			s.Goodput,
			s.Latency.P50, s.Latency.P99, s.Latency.Max, 100*float64(s.Shed429+s.Shed503)/float64(s.Requests),
			s.Shed503, s.Missed, shed, peak, s.Cores)
		b.ReportMetric(s.Goodput, fmt.Sprintf("goodput-%.0f%%/s", share*100))
		b.ReportMetric(s.Latency.P99, fmt.Sprintf("p99-%.0f%%-ms", share*100))
		b.ReportMetric(peak, fmt.Sprintf("peak-%.0f%%-MiB", share*100))
	}
}

// overload is a server under one load after another.
type overload struct {
	b     *testing.B
	p     *process
	count int64 // events the view must hold
}

// run sends a load from a process of its own and checks that what was acknowledged counts, once.
func (o *overload) run(rate float64, d time.Duration) (s load.Summary, peak float64) {
	o.b.Helper()
	path, err := program()
	if err != nil {
		o.b.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			peak = max(peak, o.p.resident())
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	out, err := exec.Command(path, "load", "--url", o.p.url, "--rate", fmt.Sprint(rate), "--duration", d.String(),
		"--duplicates", "0.02", "--late", "0.02", "--malformed", "0.001", "--json").Output()
	close(stop)
	wg.Wait()
	if err != nil {
		o.b.Fatalf("load: %v: %s", err, out)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		o.b.Fatal(err)
	}
	if s.Lost+s.Unreachable > 0 {
		o.b.Fatalf("%d answers were lost: %s", s.Lost+s.Unreachable, s.Error)
	}
	o.count += s.Distinct
	o.exact()
	return s, peak
}

// exact waits until the real-time views have caught up and compares the count.
func (o *overload) exact() {
	o.b.Helper()
	now := time.Now().UTC().Truncate(24 * time.Hour)
	q := fmt.Sprintf(`{"view":"page_views","measures":["views"],"from":%q,"to":%q}`,
		now.AddDate(0, 0, -2).Format(time.RFC3339), now.AddDate(0, 0, 2).Format(time.RFC3339))
	var a struct{ Rows []struct{ Views int64 } }
	for range 600 {
		if err := json.Unmarshal(call(o.b, o.p.url, "/v1/query", q), &a); err != nil {
			o.b.Fatal(err)
		}
		if len(a.Rows) == 1 && a.Rows[0].Views == o.count {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	o.b.Fatalf("the view counts %+v, want the %d events that were acknowledged", a.Rows, o.count)
}
