package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"recount/deploy/client/load"
)

type loadCmd struct {
	URL  string `default:"http://127.0.0.1:8080" env:"RECOUNT_SERVER" aliases:"server" help:"Address of the server."`
	View string `help:"View that the events are made for; when empty, the server's first."`

	Rate     float64       `default:"10000" help:"Events a second, including duplicates and malformed events."`
	Duration time.Duration `default:"10s" help:"How long to send."`
	Batch    int           `default:"1000" help:"Most events in a request, lowered to send ten requests a second."`
	InFlight int           `default:"512" help:"Most requests without an answer; further requests are sent late."`
	Patience time.Duration `default:"1s" help:"How late a request may be sent; after that it is not sent at all."`
	Timeout  time.Duration `default:"30s" help:"How long one attempt of a request may take."`
	Retry    bool          `help:"Send a request again, with the same ids, after 429, 503 and lost answers."`
	Drain    time.Duration `default:"30s" help:"How long retries may continue after the last request."`

	Keys            int           `default:"1000" help:"Number of values of the view's first dimension."`
	Zipf            float64       `default:"1.1" help:"Skew of those values: the n-th has weight 1/n^ZIPF; 0 is none."`
	Values          int           `default:"100000" help:"Number of values of a field that is counted distinctly."`
	Duplicates      float64       `help:"Share of events that are duplicates of earlier events, 0 to 0.5."`
	DuplicatesAfter time.Duration `default:"2s" help:"How long after the original a duplicate is sent."`
	Late            float64       `help:"Share of events whose event time is in the past, 0 to 1."`
	LateBy          time.Duration `default:"1h" help:"How far in the past late events are at most."`
	Malformed       float64       `help:"Share of events that the server must reject, 0 to 1."`
	Seed            uint64        `default:"1" help:"Seed of all random choices."`
	RunID           string        `name:"run" help:"New name of the run, or empty for any; ids are RUN-0, RUN-1, …"`

	Answers float64 `help:"Queries a second to send as well, recorded in --ack-log."`
	AckLog  string  `type:"path" help:"New file for acknowledgements, which recount verify --ack-log reads."`
	HDR     string  `name:"hdr" type:"path" help:"File for the latencies, in the percentile format of HdrHistogram."`
	JSON    bool    `name:"json" help:"Print the summary as JSON."`
	keyFlag
}

// config checks the command line and returns the load that it describes.
func (c *loadCmd) config() (load.Config, error) {
	key, err := c.key()
	if err != nil {
		return load.Config{}, err
	}
	cfg := load.Config{
		URL: c.URL, View: c.View, Key: key,
		Rate: c.Rate, Batch: c.Batch, Duration: c.Duration, InFlight: c.InFlight, Patience: c.Patience,
		Timeout: c.Timeout, Retry: c.Retry, Drain: c.Drain,
		Run: c.RunID, Seed: c.Seed, Keys: c.Keys, Skew: c.Zipf, Values: c.Values,
		Duplicates: c.Duplicates, DuplicateAfter: c.DuplicatesAfter, Late: c.Late, LateBy: c.LateBy,
		Malformed: c.Malformed, Answers: c.Answers,
	}
	if cfg.Run == "" {
		cfg.Run = strings.ToLower(rand.Text()[:10])
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// Run sends the load. It fails if the server rejected a valid event, accepted a malformed event or failed unexpectedly.
func (c *loadCmd) Run(ctx context.Context, std streams) (err error) {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	o := load.Options{Every: func(t load.Tick) { printTick(std.err, t) }}
	if c.AckLog != "" {
		f, err := os.OpenFile(c.AckLog, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return usageError{fmt.Errorf("--ack-log: %w", err)}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		o.AckLog = f
	}
	s, err := load.Run(ctx, cfg, o)
	if s == nil {
		return err
	}
	return errors.Join(c.report(std.out, s), err, s.Failure())
}

// printTick prints the line for one second of the load.
func printTick(w io.Writer, t load.Tick) {
	fmt.Fprintf(w, "%4.0f s  sent %d/s  acked %d/s  429 %d  503 %d  lost %d  late %d  missed %d  p99 %.1f ms\n",
		t.At.Seconds(),
		t.Sent, t.Acked, t.Shed429, t.Shed503, t.Lost+t.Unreachable, t.Late, t.Missed,
		float64(t.P99.Microseconds())/1e3)
}

func (c *loadCmd) report(out io.Writer, s *load.Summary) error {
	var err error
	if c.HDR != "" {
		err = writeHDR(c.HDR, s)
	}
	if !c.JSON {
		return errors.Join(err, s.Print(out))
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	return errors.Join(err, encoder.Encode(s))
}

func writeHDR(path string, s *load.Summary) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return s.WriteHDR(f)
}
