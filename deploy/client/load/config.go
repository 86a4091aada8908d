package load

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config is one load.
type Config struct {
	URL  string // of the server: http://127.0.0.1:8080
	View string // the events are made for; the server's first when empty
	Key  string // API key, sent as Authorization: Bearer; may be empty

	Rate     float64       // events a second, duplicates and malformed ones included
	Batch    int           // most events in a request
	Duration time.Duration // of the schedule
	InFlight int           // requests at once, waiting retries included
	Patience time.Duration // how late a request may be sent; later is not at all
	Timeout  time.Duration // of one attempt
	Retry    bool          // send again after 429, 503 and lost answers, with the same ids
	Drain    time.Duration // how long retries may go on behind the schedule

	Run            string  // names the events: ids are RUN-0, RUN-1, …; it must be new to the server
	Seed           uint64  // of everything that is drawn
	Keys           int     // values of the view's first dimension
	Skew           float64 // Zipf exponent of the keys; 0 is uniform
	Values         int     // values of a field that is counted distinctly
	Duplicates     float64 // share of events that are copies of earlier ones
	DuplicateAfter time.Duration
	Late           float64       // share of events whose time lies back
	LateBy         time.Duration // by up to this much
	Malformed      float64       // share of events that the server has to refuse
	Answers        float64       // queries a second, which the acknowledgement log records too
}

// maxEvents bounds the numbers of a run: a bitmap of them stays below 128 MiB.
const maxEvents = 1 << 30

var runName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Validate returns every fault of the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	share := func(name string, v, most float64) {
		check(v >= 0 && v <= most, "%s: %g; use 0 to %g", name, v, most)
	}
	u, err := url.Parse(c.URL)
	check(err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"), "url: %q; use http://host:port",
		c.URL)
	check(c.Rate > 0 && c.Rate <= 1e8, "rate: %g; use more than 0 and at most 1e8 events a second", c.Rate)
	check(c.Batch >= 1 && c.Batch <= 100_000, "batch: %d; use 1 to 100000", c.Batch)
	check(c.Duration > 0, "duration: %s must be positive", c.Duration)
	check(c.Rate*c.Duration.Seconds() >= 1, "rate, duration: less than one event")
	check(c.Rate*c.Duration.Seconds() <= maxEvents, "rate, duration: more than %d events", maxEvents)
	check(c.InFlight >= 1 && c.InFlight <= 16_384, "in-flight: %d; use 1 to 16384", c.InFlight)
	check(c.Timeout > 0 && c.Patience > 0 && c.Drain >= 0, "timeout, patience, drain: must be positive")
	check(runName.MatchString(c.Run), "run: %q; use up to 64 letters, digits, dots and dashes", c.Run)
	check(c.Keys >= 1 && c.Keys <= 1_000_000, "keys: %d; use 1 to 1000000", c.Keys)
	check(c.Skew >= 0 && c.Skew <= 10, "zipf: %g; use 0 to 10", c.Skew)
	check(c.Values >= 1, "values: %d; use at least 1", c.Values)
	check(c.LateBy >= 0 && c.DuplicateAfter >= 0, "late-by, duplicates-after: must not be negative")
	share("duplicates", c.Duplicates, 0.5)
	share("late", c.Late, 1)
	share("malformed", c.Malformed, 1)
	share("answers", c.Answers, 1000)
	return errors.Join(errs...)
}

// perSecond is how many requests a second there are at least, where the rate has as many events.
const perSecond = 10

// spread is the configuration with a batch that suits the rate. Few events a second in large requests
// would be a burst now and then: another load than the one that was asked for, and that is reported.
func (c Config) spread() Config {
	c.Batch = max(1, min(c.Batch, int(c.Rate/perSecond), int(c.Rate*c.Duration.Seconds())))
	return c
}

// interval is the time between two requests of the schedule.
func (c Config) interval() time.Duration {
	return time.Duration(float64(c.Batch) / c.Rate * float64(time.Second))
}

// requests is how many requests the schedule has.
func (c Config) requests() int64 { return max(1, int64(c.Rate*c.Duration.Seconds())/int64(c.Batch)) }
