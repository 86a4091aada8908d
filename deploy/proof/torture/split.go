package main

import (
	"context"
	"slices"
	"time"
)

// splitRoles are the roles of the processes of the round "split". Two processes land every
// partition, and the commit chain decides between them (C5). Two have real-time views and
// answer queries, each from its own state (S6).
var splitRoles = []string{"ingest", "speed,serving", "speed,serving", "landing", "landing", "batch"}

// splitRound runs each role in its own processes over shared engines. It kills every process in
// turn while the connections to an engine are disturbed. Then it stops a process with real-time
// views until the process with the jobs, which does not know of those views, has trimmed the
// log past them (L6).
func splitRound(ctx context.Context, w *world) error {
	if err := w.openRoles(ctx, splitRoles, engineKinds); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	for _, s := range w.servers {
		b := w.h.breaks.draw()
		w.h.report.fault(b.engine + ": " + b.name)
		broken := make(chan error, 1)
		go func() { broken <- b.apply(ctx, w, b.engine) }()
		err := w.killSoon(ctx, s)
		if breakErr := <-broken; err == nil {
			err = breakErr
		}
		if err != nil {
			return err
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		w.say("process %d (%s) was killed during the fault %s: %s", s.n, s.roles, b.engine, b.name)
		if err := sleep(ctx, w.randomDuration(200*time.Millisecond, 600*time.Millisecond)); err != nil {
			return err
		}
	}
	if err := w.stopUntilTrimmed(ctx, w.servers[slices.Index(splitRoles, "speed,serving")]); err != nil {
		return err
	}
	return w.finish(ctx)
}
