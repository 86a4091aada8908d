package main

import (
	"context"
	"os"
	"time"
)

// jumps are how far a server's clock is off, in turn: hours and days, there and back.
var jumps = []time.Duration{3 * time.Hour, -2 * time.Hour, 30 * time.Hour, 0, -50 * time.Hour, 0}

// clockRound lets a server's clock jump, and kills it now and then so that the next one
// starts in another time than the last ended in. Then the clock comes to the edge of a
// bucket while events without a time of their own are sent, and sent again beyond it (D1).
// Such events have no part in the jumps: a retry that meets a clock hours away is another
// event to the server, as the documentation says.
func clockRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	s := w.servers[0]
	for _, offset := range jumps {
		if err := s.setClock(offset); err != nil {
			return err
		}
		w.h.report.fault("clock jump")
		w.say("the clock is off by %s", offset)
		if err := pause(ctx, w.between(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
		if w.rng.IntN(3) > 0 {
			continue
		}
		s.kill()
		w.h.report.killedAtRandom()
		if err := s.up(ctx); err != nil {
			return err
		}
	}
	if err := w.crossBucketEdge(ctx, s); err != nil {
		return err
	}
	return w.end(ctx)
}

// setClock writes the file whose duration the server adds to its clock.
func (s *server) setClock(offset time.Duration) error {
	return os.WriteFile(s.clockFile(), []byte(offset.String()), 0o600)
}

// crossBucketEdge kills the server a moment before the edge of an hour and starts it
// again; what was under way is sent again in the next hour.
func (w *world) crossBucketEdge(ctx context.Context, s *server) error {
	const before = 1500 * time.Millisecond
	now := time.Now()
	if err := s.setClock(now.Truncate(time.Hour).Add(time.Hour - before).Sub(now)); err != nil {
		return err
	}
	w.h.report.fault("bucket edge crossed")
	// A request that was sent before the jump, and again after it, would be torn apart by hours.
	if err := w.load.quiet(func() error {
		w.load.untimed.Store(true)
		return pause(ctx,
			100*time.Millisecond)
	}); err != nil {
		return err
	}
	if err := pause(ctx, before-400*time.Millisecond); err != nil {
		return err
	}
	s.kill()
	w.h.report.killedAtRandom()
	if err := s.up(ctx); err != nil {
		return err
	}
	return pause(ctx, time.Second)
}
