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
	View string `help:"View the events are made for; the server's first when empty."`

	Rate     float64       `default:"10000" help:"Events a second, duplicates and malformed ones included."`
	Duration time.Duration `default:"10s" help:"How long to send."`
	Batch    int           `default:"1000" help:"Most events in a request; fewer where there would be less than ten requests a second."`
	InFlight int           `default:"512" help:"Most requests without an outcome. Beyond it requests are sent late, and not at all beyond --patience; both are reported."`
	Patience time.Duration `default:"1s" help:"How late a request may be sent."`
	Timeout  time.Duration `default:"30s" help:"Of one attempt of a request."`
	Retry    bool          `help:"Send again with the same ids after 429, 503 and lost answers, waiting as Retry-After says."`
	Drain    time.Duration `default:"30s" help:"How long retries may go on after the last request."`

	Keys            int           `default:"1000" help:"Values of the view's first dimension."`
	Zipf            float64       `default:"1.1" help:"Skew of the keys: weight 1/n^ZIPF for the n-th; 0 is uniform."`
	Values          int           `default:"100000" help:"Values of fields that are counted distinctly."`
	Duplicates      float64       `help:"Share of the events that are sent again later, 0 to 0.5."`
	DuplicatesAfter time.Duration `default:"2s" help:"How much later."`
	Late            float64       `help:"Share of the events whose time lies back, 0 to 1."`
	LateBy          time.Duration `default:"1h" help:"By up to how much."`
	Malformed       float64       `help:"Share of the events that the server has to refuse, 0 to 1."`
	Seed            uint64        `default:"1" help:"Of everything that is drawn."`
	RunID           string        `name:"run" help:"Names the events: ids are RUN-0, RUN-1 and so on. It must be new to the server; drawn when empty."`

	Answers float64 `help:"Also ask this many queries a second, and record them in --ack-log."`
	AckLog  string  `type:"path" help:"File for what the server acknowledged, which recount verify --ack-log reads. It must not exist."`
	HDR     string  `name:"hdr" type:"path" help:"File for the latencies in HdrHistogram's percentile format."`
	JSON    bool    `name:"json" help:"Print the summary as JSON."`
	keyFlag
}

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

// Run sends the load and fails if the server did what it must not.
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
	if err != nil {
		return err
	}
	return errors.Join(c.report(std.out, s), s.Failure())
}

// printTick writes the line of a second.
func printTick(w io.Writer, t load.Tick) {
	fmt.Fprintf(w, "%4.0f s  sent %d/s  acked %d/s  429 %d  503 %d  lost %d  late %d  missed %d  p99 %.1f ms\n",
		t.At.Seconds(),
		t.Sent, t.Acked, t.Shed429, t.Shed503, t.Lost+t.Unreachable, t.Late, t.Missed,
		float64(t.P99.Microseconds())/1e3)
}

func (c *loadCmd) report(out io.Writer, s *load.Summary) error {
	if c.HDR != "" {
		if err := writeHDR(c.HDR, s); err != nil {
			return err
		}
	}
	if !c.JSON {
		return s.Print(out)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", " ")
	return enc.Encode(s)
}

func writeHDR(path string, s *load.Summary) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return s.WriteHDR(f)
}
