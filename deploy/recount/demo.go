package main

import (
	"context"
	"os"
	"runtime/debug"

	"recount/deploy/recount/demo"
)

type demoCmd struct {
	settable
	Rows int    `help:"Number of flights to replay; 0 means all three million."`
	Keep bool   `help:"Keep the server running after the comparison, for queries."`
	File string `type:"path" help:"File of the sample data; when empty, it is found in the checkout."`
	Seed uint64 `default:"1" help:"Seed of the choice of late, duplicate and malformed events."`
}

// demoHeap is the size in bytes above which Go collects garbage more often, because a laptop runs other programs too.
// The live heap of the demonstration is smaller.
const demoHeap = 1100 << 20

// Run replays the flights and compares the counts. It fails if they differ by more than their stated error.
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
		Out: unguarded(std.out), Logger: cfg.Logger.New(std.err),
	})
}
