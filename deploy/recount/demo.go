package main

import (
	"context"
	"os"
	"runtime/debug"

	"recount/deploy/recount/demo"
)

type demoCmd struct {
	settable
	Rows int    `help:"Flights to replay; all three million when 0."`
	Keep bool   `help:"Leave the server up afterwards, for queries."`
	File string `type:"path" help:"The sample data; found in the checkout when empty."`
	Seed uint64 `default:"1" help:"Seed of what is late, doubled and broken."`
}

// demoHeap is what the demonstration lets Go's heap grow to before it collects more
// eagerly, in bytes: laptops have other things to do. What is live stays below it.
const demoHeap = 1100 << 20

// Run replays the flights and compares the counts; it fails if anything differs that should not.
func (c *demoCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(demoHeap)
	}
	cfg, err := fileFlag{}.load(s)
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Options{
		Rows: c.Rows, Keep: c.Keep, File: c.File, Seed: c.Seed, Settings: s.given(),
		Out: std.out, Logger: cfg.Logger.New(std.err),
	})
}
