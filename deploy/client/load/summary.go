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

// Summary is the result of a load. Rates are per second of the schedule.
type Summary struct {
	Run      string  `json:"run"`
	View     string  `json:"view"`
	Rate     float64 `json:"rate"`     // Rate is the wanted number of events a second.
	Batch    int     `json:"batch"`    // Batch is the number of events in a request.
	Schedule float64 `json:"schedule"` // Schedule is the length of the schedule in seconds.
	Took     float64 `json:"took"`     // Took is the length of the load in seconds, with retries after the schedule.
	Counts
	Offered float64 `json:"offered_rate"` // Offered is how many events were sent a second, with retries.
	Goodput float64 `json:"goodput"`      // Goodput is how many events were acknowledged a second.
	Cores   float64 `json:"client_cores"` // Cores is the processor time of this process divided by Took.
	Error   string  `json:"error,omitempty"`

	Latency   Percentiles  `json:"latency_ms"`         // Latency is of answered requests, from the intended send time.
	Shed      *Percentiles `json:"shed_ms,omitempty"`  // Shed is of requests refused for load, from the actual send.
	SendDelay Percentiles  `json:"send_behind_ms"`     // SendDelay is from the intended to the actual send time.
	Query     *Percentiles `json:"query_ms,omitempty"` // Query is of answered queries, from the intended send time.
	histogram *hdrhistogram.Histogram
}

// Percentiles are percentiles of durations in milliseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// percentiles converts a histogram in microseconds.
func percentiles(h *hdrhistogram.Histogram) Percentiles {
	value := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	return Percentiles{value(50), value(90), value(99), value(99.9), float64(h.Max()) / 1e3}
}

// optionalPercentiles returns percentiles, or nil if there are no values.
func optionalPercentiles(h *hdrhistogram.Histogram) *Percentiles {
	if h.TotalCount() == 0 {
		return nil
	}
	p := percentiles(h)
	return &p
}

// summary returns the summary of a load that is over.
func (t *tally) summary(c Config, view string, took, cpu time.Duration) *Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	schedule := (time.Duration(c.requests()) * c.interval()).Seconds()
	s := &Summary{
		Run: c.Run, View: view, Rate: c.Rate, Batch: c.Batch, Schedule: schedule, Took: took.Seconds(),
		Counts:  t.Counts,
		Offered: float64(t.Sent) / schedule, Goodput: float64(t.Acked) / schedule,
		Cores:   cpu.Seconds() / took.Seconds(),
		Latency: percentiles(t.latency), Shed: optionalPercentiles(t.sheds),
		SendDelay: percentiles(t.sends), Query: optionalPercentiles(t.queries),
		histogram: t.latency,
	}
	if t.first != nil {
		s.Error = t.first.Error()
	}
	return s
}

// cpuTime returns the processor time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Failure returns why the load failed, or nil. Refusals for load are no failure, because an overloaded server should
// refuse.
func (s *Summary) Failure() error {
	switch {
	case s.Wrong > 0:
		return fmt.Errorf("%d events had the wrong outcome: valid but refused for good, or malformed but accepted",
			s.Wrong)
	case s.Unexpected > 0:
		return fmt.Errorf("%d requests had an unexpected answer, the first of them: %s", s.Unexpected, s.Error)
	case s.Acked+s.Refused == 0:
		return errors.Join(errors.New("no event was acknowledged or refused for good"), errorOf(s.Error))
	}
	return nil
}

// errorOf returns a message as an error, or nil if it is empty.
func errorOf(message string) error {
	if message == "" {
		return nil
	}
	return errors.New(message)
}

// Print writes the summary as text.
func (s *Summary) Print(w io.Writer) error {
	fmt.Fprintf(w, "run %s: view %s, %.0f events/s wanted for %.1f s, %d in a request; took %.1f s\n", s.Run, s.View,
		s.Rate, s.Schedule, s.Batch, s.Took)
	fmt.Fprintf(w, "events    sent %d (%.0f/s), acknowledged %d (%.0f/s), distinct %d, refused for good %d, wrong "+
		"outcome %d\n",
		s.Sent, s.Offered, s.Acked, s.Goodput, s.Distinct, s.Refused, s.Wrong)
	fmt.Fprintf(w, "requests  sent %d, of them again %d; 429 %d, 503 %d, answer lost %d, no connection %d, "+
		"unexpected %d, given up %d\n",
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
	row("answered, from intended send", &s.Latency)
	row("shed, from send", s.Shed)
	row("query, from intended send", s.Query)
	row("sent after schedule", &s.SendDelay)
	return t.Flush()
}

// WriteHDR writes the latencies of answered requests in milliseconds, in the percentile format of HdrHistogram, which
// its plotters read.
func (s *Summary) WriteHDR(w io.Writer) error {
	_, err := s.histogram.PercentilesPrint(w, 5, 1e3)
	return err
}
