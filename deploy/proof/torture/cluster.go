package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// election is about the longest that the servers need to replace a leader.
const election = 9 * time.Second

// clusterRound has a log of three servers that keep three copies, and kills each of them in turn:
// two are enough to go on, and what they acknowledged the third learns when it is back.
func clusterRound(ctx context.Context, w *world) error {
	if err := w.openRoles(ctx, make([]string, 1), slices.Concat(logServers, []string{"s3", "clickhouse"})); err != nil {
		return err
	}
	// The servers of the log elect a leader first, and until they have one nobody can begin.
	var err error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		if err = w.servers[0].up(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	w.load.start(ctx)
	for _, name := range logServers {
		if err := pause(ctx, w.between(time.Second, 2*time.Second)); err != nil {
			return err
		}
		before := w.acked()
		w.engines.procs[name].kill()
		w.h.report.fault("one of three log servers killed")
		if err := pause(ctx, w.between(2*election, 2*election+3*time.Second)); err != nil {
			return err
		}
		if w.acked() == before {
			return fmt.Errorf("without %s nothing was acknowledged, though two of three servers are there", name)
		}
		w.say("%s was killed: %d events acknowledged without it", name, w.acked()-before)
		if err := w.engines.start(ctx, name); err != nil {
			return err
		}
	}
	return w.end(ctx)
}
