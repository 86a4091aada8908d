package main

import (
	"context"
	"slices"
	"time"
)

// splitRoles are the processes of the round "split". Two land every partition and two
// follow and answer for it: the commit chain decides between landers (C5), and each owner of
// real-time views answers from its own state (S6).
var splitRoles = []string{"ingest", "speed,serving", "speed,serving", "landing", "landing", "batch"}

// splitRound has each role in processes of its own over shared engines, and kills every
// one of them in turn while the connections to an engine are broken. Then one that answers
// from real-time views is stopped until the process with the jobs, which has none and
// knows of none, has trimmed the log past it (L6).
func splitRound(ctx context.Context, w *world) error {
	if err := w.openRoles(ctx, splitRoles, engineKinds); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	for _, s := range w.servers {
		b := w.h.breaks.take()
		w.h.report.fault(b.engine + ": " + b.name)
		broken := make(chan error, 1)
		go func() { broken <- b.do(ctx, w, b.engine) }()
		err := w.killSoon(ctx, s)
		if breakErr := <-broken; err == nil {
			err = breakErr
		}
		if err != nil {
			return err
		}
		if err := s.up(ctx); err != nil {
			return err
		}
		w.say("%s of process %d was killed while %s: %s", s.roles, s.n, b.engine, b.name)
		if err := pause(ctx, w.between(200*time.Millisecond, 600*time.Millisecond)); err != nil {
			return err
		}
	}
	if err := w.outrun(ctx, w.servers[slices.Index(splitRoles, "speed,serving")]); err != nil {
		return err
	}
	return w.end(ctx)
}
