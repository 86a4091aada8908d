package load

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary is what came of a load. Rates are per second of the schedule.
type Summary struct {
	Run      string  `json:"run"`
	View     string  `json:"view"`
	Rate     float64 `json:"rate"`     // events a second wanted
	Batch    int     `json:"batch"`    // events in a request
	Schedule float64 `json:"schedule"` // seconds
	Took     float64 `json:"took"`     // seconds, retries behind the schedule included
	Counts
	Offered float64 `json:"offered_rate"` // events a second sent, retries included
	Goodput float64 `json:"goodput"`      // events a second acknowledged
	Cores   float64 `json:"client_cores"` // processor time of this process by time taken
	Error   string  `json:"error,omitempty"`

	Latency Percentiles  `json:"latency_ms"`         // of acknowledged requests, from the intended send time
	Shed    *Percentiles `json:"shed_ms,omitempty"`  // of requests refused for load, from their send
	Behind  Percentiles  `json:"send_behind_ms"`     // actual behind intended send time
	Query   *Percentiles `json:"query_ms,omitempty"` // of answered queries, from the intended send time
	hdr     *hdrhistogram.Histogram
}

// Percentiles of durations, in milliseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	return Percentiles{at(50), at(90), at(99), at(99.9), float64(h.Max()) / 1e3}
}

// some is percentiles, or nil when there is nothing to tell.
func some(h *hdrhistogram.Histogram) *Percentiles {
	if h.TotalCount() == 0 {
		return nil
	}
	p := percentiles(h)
	return &p
}

func (t *tally) summary(c Config, view string, took, cpu time.Duration) *Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	schedule := (time.Duration(c.requests()) * c.interval()).Seconds()
	s := &Summary{
		Run: c.Run, View: view, Rate: c.Rate, Batch: c.Batch, Schedule: schedule, Took: took.Seconds(),
		Counts:  t.Counts,
		Offered: float64(t.Sent) / schedule, Goodput: float64(t.Acked) / schedule,
		Cores:   cpu.Seconds() / took.Seconds(),
		Latency: percentiles(t.latency), Shed: some(t.sheds), Behind: percentiles(t.sends), Query: some(t.queries),
		hdr: t.latency,
	}
	if t.first != nil {
		s.Error = t.first.Error()
	}
	return s
}

// cpuTime is the processor time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Failure says why the load is no success, or nil. Being shed is none: an overloaded server should.
func (s *Summary) Failure() error {
	switch {
	case s.Wrong > 0:
		return fmt.Errorf("%d events were accepted or refused for good that should not have been", s.Wrong)
	case s.Unexpected > 0:
		return fmt.Errorf("%d requests had an answer that no load should get: %s", s.Unexpected, s.Error)
	case s.Acked+s.Refused == 0:
		return errors.Join(errors.New("no event was answered for"), nonNil(s.Error))
	}
	return nil
}

func nonNil(msg string) error {
	if msg == "" {
		return nil
	}
	return errors.New(msg)
}

// Print writes the summary as people read it.
func (s *Summary) Print(w io.Writer) error {
	fmt.Fprintf(w, "run %s: view %s, %.0f events/s wanted for %.1f s, %d a request; took %.1f s\n", s.Run, s.View,
		s.Rate, s.Schedule, s.Batch, s.Took)
	fmt.Fprintf(w, "events    sent %d (%.0f/s), acknowledged %d (%.0f/s), distinct %d, refused for good %d, wrongly "+
		"%d\n",
		s.Sent, s.Offered, s.Acked, s.Goodput, s.Distinct, s.Refused, s.Wrong)
	fmt.Fprintf(w, "requests  sent %d, again %d, 429 %d, 503 %d, answer lost %d, no connection %d, unexpected %d, "+
		"given up %d\n",
		s.Requests, s.Retries, s.Shed429, s.Shed503, s.Lost, s.Unreachable, s.Unexpected, s.GaveUp)
	fmt.Fprintf(w, "schedule  sent late %d, never sent %d; this process used %.2f cores\n", s.Late, s.Missed, s.Cores)
	if s.Queries+s.QueryErrors+s.QueryMissed > 0 {
		fmt.Fprintf(w, "queries   answered %d, failed %d, never sent %d\n", s.Queries, s.QueryErrors, s.QueryMissed)
	}
	if s.Error != "" {
		fmt.Fprintln(w, "first error:", s.Error)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms\tp50\tp90\tp99\tp99.9\tmax\t")
	row := func(name string, p *Percentiles) {
		if p != nil {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", name, p.P50, p.P90, p.P99, p.P999, p.Max)
		}
	}
	row("acknowledged, from intended send", &s.Latency)
	row("shed, from send", s.Shed)
	row("query, from intended send", s.Query)
	row("sent behind schedule", &s.Behind)
	return t.Flush()
}

// WriteHDR writes the latencies of acknowledged requests in milliseconds in
// HdrHistogram's percentile format, which its plotters read.
func (s *Summary) WriteHDR(w io.Writer) error {
	_, err := s.hdr.PercentilesPrint(w, 5, 1e3)
	return err
}
