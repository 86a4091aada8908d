package main

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/landing"
	"recount/deploy/server"
)

type holeCmd struct {
	fileFlag
	settable
	Partition int    `required:"" help:"Partition of the log."`
	From      uint64 `required:"" help:"First message that is given up."`
	To        uint64 `required:"" help:"Next message that is not given up."`
	Reason    string `required:"" help:"What happened to the messages. It is stored for ever."`
}

// Help returns the text that --help prints besides the flags.
func (*holeCmd) Help() string {
	return "A partition stops where its log cannot give a message, because the events of the message were " +
		"acknowledged. Restore the log first, if there is a copy. Otherwise this command records that the messages " +
		"are lost, and the partition continues after them. /readyz, the log lines and recount verify name them.\n\n" +
		"The command refuses messages that can be read or have landed. If they were given up before, it says so and " +
		"succeeds. With embedded engines, stop the server first. " +
		"Events in the messages count again if clients send them again."
}

// Run gives the messages up.
func (c *holeCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	if c.From < 1 || c.From >= c.To {
		return usageError{errors.New("--from and --to name at least one message: [from, to) with from 1 or more")}
	}
	cfg, err := c.load(s)
	if err != nil {
		return err
	}
	err = server.GiveUp(ctx, cfg, server.HoleOptions{Partition: c.Partition, Logger: cfg.Logger.New(std.err),
		Hole: landing.Hole{From: c.From, To: c.To, Reason: c.Reason}})
	if earlier := (*landing.GivenUpError)(nil); errors.As(err, &earlier) && !errors.Is(err, landing.ErrRefused) {
		fmt.Fprintf(std.out, "nothing to do in partition %d: %v\n", c.Partition, earlier)
		return nil
	}
	if err != nil {
		return fmt.Errorf("give up messages [%d, %d) of partition %d: %w", c.From, c.To, c.Partition, err)
	}
	fmt.Fprintf(std.out, "messages [%d, %d) of partition %d are given up; start the server, and let clients send the "+
		"events of that time again with the same ids\n", c.From, c.To, c.Partition)
	return nil
}
