package main

import (
	"context"
	"os"
	"time"
)

// clockOffsets are the errors of a server's clock, one after the other: hours and days ahead,
// hours and days late, and right again.
var clockOffsets = []time.Duration{3 * time.Hour, -2 * time.Hour, 30 * time.Hour, 0, -50 * time.Hour, 0}

// clockRound makes a server's clock jump. It also kills the server at random, so that the next
// process starts at another time than the last one ended at. Then the clock reaches the end of
// a bucket while the client sends events without a time, and sends them again in the next
// bucket (D1). Such events are not sent during the jumps: the documentation says that a retry
// counts as another event when the server's clock is hours off.
func clockRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	s := w.servers[0]
	for _, offset := range clockOffsets {
		if err := s.setClock(offset); err != nil {
			return err
		}
		w.h.report.fault("clock jump")
		w.say("the server's clock is off by %s", offset)
		if err := sleep(ctx, w.randomDuration(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
		if w.rng.IntN(3) > 0 {
			continue
		}
		s.kill()
		w.h.report.killedAtRandom()
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if err := w.crossBucketEdge(ctx, s); err != nil {
		return err
	}
	return w.finish(ctx)
}

// setClock writes the file that holds the duration which the server adds to its clock.
func (s *server) setClock(offset time.Duration) error {
	return os.WriteFile(s.clockFile(), []byte(offset.String()), 0o600)
}

// crossBucketEdge kills the server shortly before the end of an hour and starts it again, so
// that the client sends the open requests again in the next hour.
func (w *world) crossBucketEdge(ctx context.Context, s *server) error {
	const before = 1500 * time.Millisecond
	now := time.Now()
	if err := s.setClock(now.Truncate(time.Hour).Add(time.Hour - before).Sub(now)); err != nil {
		return err
	}
	w.h.report.fault("bucket edge crossed")
	// No request is open during the jump: its first try and its retry would differ by hours.
	if err := w.load.withoutRequests(func() error {
		w.load.untimed.Store(true)
		return sleep(ctx, 100*time.Millisecond)
	}); err != nil {
		return err
	}
	if err := sleep(ctx, before-400*time.Millisecond); err != nil {
		return err
	}
	s.kill()
	w.h.report.killedAtRandom()
	if err := s.start(ctx); err != nil {
		return err
	}
	return sleep(ctx, time.Second)
}
