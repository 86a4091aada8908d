package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// election is about the longest time that the log servers need to replace a leader.
const election = 9 * time.Second

// clusterRound uses a log of three servers that keep three copies, and kills each of them in
// turn. Two servers are enough to continue; the third catches up when it is back.
func clusterRound(ctx context.Context, w *world) error {
	if err := w.openRoles(ctx, make([]string, 1), slices.Concat(logServers, []string{"s3", "clickhouse"})); err != nil {
		return err
	}
	// The log servers elect a leader first; until then recount cannot start.
	var err error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		if err = w.servers[0].start(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	w.load.start(ctx)
	for _, name := range logServers {
		if err := sleep(ctx, w.randomDuration(time.Second, 2*time.Second)); err != nil {
			return err
		}
		before := w.acked()
		w.engines.procs[name].kill()
		w.h.report.fault("one of three log servers killed")
		if err := sleep(ctx, w.randomDuration(2*election, 2*election+3*time.Second)); err != nil {
			return err
		}
		if w.acked() == before {
			return fmt.Errorf("no event was acknowledged while %s was down, although two of three log servers were up",
				name)
		}
		w.say("%s was killed: %d events were acknowledged while it was down", name, w.acked()-before)
		if err := w.engines.start(ctx, name); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}
