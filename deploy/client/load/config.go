package load

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config describes one load.
type Config struct {
	URL  string // URL is the address of the server, such as http://127.0.0.1:8080.
	View string // View is the view that the events are made for. Empty means the server's first view.
	Key  string // Key is the API key. It may be empty.

	Rate     float64       // Rate is how many events are sent a second, including duplicates and malformed events.
	Batch    int           // Batch is the largest number of events in a request.
	Duration time.Duration // Duration is the length of the schedule.
	InFlight int           // InFlight is the largest number of unfinished requests, including those that wait to retry.
	Patience time.Duration // Patience is how late a request may be sent. After that it is not sent at all.
	Timeout  time.Duration // Timeout is how long one attempt may take.
	Retry    bool          // Retry sends a request again, with the same ids, after 429, 503 and lost answers.
	Drain    time.Duration // Drain is how long retries may continue after the schedule.

	Run            string        // Run is the prefix of the ids RUN-0, RUN-1, … It must be new to the server.
	Seed           uint64        // Seed determines all random choices.
	Keys           int           // Keys is how many values the view's first dimension has.
	Skew           float64       // Skew is the Zipf exponent of the keys. 0 means that all are equally frequent.
	Values         int           // Values is how many values a field has that is counted distinctly.
	Duplicates     float64       // Duplicates is the share of events that are copies of earlier events.
	DuplicateAfter time.Duration // DuplicateAfter is how long after the original a copy is sent.
	Late           float64       // Late is the share of events with an event time in the past.
	LateBy         time.Duration // LateBy is how far in the past that time is at most.
	Malformed      float64       // Malformed is the share of events that the server must reject.
	Answers        float64       // Answers is how many queries are sent a second. The acknowledgement log records them.
}

// maxEvents is the largest number of events in a run. A bitmap of them is at most 128 MiB.
const maxEvents = 1 << 30

var runName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Validate returns every mistake in the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	share := func(name string, v, limit float64) {
		check(v >= 0 && v <= limit, "%s: %g; use 0 to %g", name, v, limit)
	}
	u, err := url.Parse(c.URL)
	check(err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"), "url: %q; use http://host:port",
		c.URL)
	check(c.Rate > 0 && c.Rate <= 1e8, "rate: %g; use more than 0 and at most 1e8 events a second", c.Rate)
	check(c.Batch >= 1 && c.Batch <= 100_000, "batch: %d; use 1 to 100000", c.Batch)
	check(c.Duration > 0, "duration: %s; use a positive duration", c.Duration)
	check(c.Rate*c.Duration.Seconds() >= 1, "rate, duration: less than one event; raise one of them")
	check(c.Rate*c.Duration.Seconds() <= maxEvents, "rate, duration: more than %d events; lower one of them", maxEvents)
	check(c.InFlight >= 1 && c.InFlight <= 16_384, "in-flight: %d; use 1 to 16384", c.InFlight)
	check(c.Timeout > 0 && c.Patience > 0 && c.Drain >= 0, "timeout, patience, drain: use positive durations")
	check(runName.MatchString(c.Run), "run: %q; use 1 to 64 letters, digits, dots, dashes and underscores", c.Run)
	check(c.Keys >= 1 && c.Keys <= 1_000_000, "keys: %d; use 1 to 1000000", c.Keys)
	check(c.Skew >= 0 && c.Skew <= 10, "zipf: %g; use 0 to 10", c.Skew)
	check(c.Values >= 1, "values: %d; use at least 1", c.Values)
	check(c.LateBy >= 0 && c.DuplicateAfter >= 0, "late-by, duplicates-after: use 0 or more")
	share("duplicates", c.Duplicates, 0.5)
	share("late", c.Late, 1)
	share("malformed", c.Malformed, 1)
	share("answers", c.Answers, 1000)
	return errors.Join(errs...)
}

// perSecond is the lowest number of requests a second, if the rate has that many events.
const perSecond = 10

// limitBatch returns the configuration with a batch that fits the rate. Large requests at a low rate would be bursts
// with long pauses instead of the steady load that was asked for.
func (c Config) limitBatch() Config {
	c.Batch = max(1, min(c.Batch, int(c.Rate/perSecond), int(c.Rate*c.Duration.Seconds())))
	return c
}

// interval returns the time between two requests of the schedule.
func (c Config) interval() time.Duration {
	return time.Duration(float64(c.Batch) / c.Rate * float64(time.Second))
}

// requests returns how many requests the schedule has.
func (c Config) requests() int64 { return max(1, int64(c.Rate*c.Duration.Seconds())/int64(c.Batch)) }
