package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// longPause is above every timeout of a request and of the log's memory of a reader in a
// test build (5 s, 10 s). The server knows no leases; nothing else ends by itself.
func (w *world) longPause() time.Duration {
	if w.h.short {
		return w.between(5500*time.Millisecond, 6500*time.Millisecond)
	}
	return w.between(11*time.Second, 13*time.Second)
}

// pauseRound stops a lone server for longer than any timeout.
func pauseRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	if err := pause(ctx, w.between(500*time.Millisecond, 2*time.Second)); err != nil {
		return err
	}
	if err := w.stopped(ctx, w.servers[0]); err != nil {
		return err
	}
	return w.end(ctx)
}

// stopped stops a server, waits for longer than its timeouts, and lets it go on.
func (w *world) stopped(ctx context.Context, s *server) error {
	s.proc.signal(syscall.SIGSTOP)
	began := time.Now()
	err := pause(ctx, w.longPause())
	s.proc.signal(syscall.SIGCONT)
	w.h.report.pause()
	w.say("server %d was stopped for %s", s.n, time.Since(began).Round(time.Millisecond))
	if err != nil {
		return err
	}
	return pause(ctx, w.between(500*time.Millisecond, time.Second))
}

// zombiePoints are where a server is stopped while another does its work: before and
// after what the other must find done, or must do itself.
var zombiePoints = []string{
	"landing.create.before", "landing.create.after", "landing.put.before", "publish.create.before",
	"publish.create.after",
	"publish.write.before", "publish.verify.before", "publish.marker.before", "publish.collect.before",
	"log.trim.before",
	"log.append.before", "snapshot.rename.before",
}

// zombieRound has two servers with every role over the same engines. One is stopped at a
// failpoint until the other has landed and published in its stead, and then goes on with
// what it was about to do.
func zombieRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 2, true); err != nil {
		return err
	}
	n := 3
	if w.h.short {
		n = 1
	}
	for i := range n {
		if err := w.zombie(ctx, w.servers[i%2], w.servers[1-i%2], w.h.zombies.take()); err != nil {
			return err
		}
	}
	return w.end(ctx)
}

func (w *world) zombie(ctx context.Context, s, other *server, point string) error {
	s.kill()
	w.h.report.killedAtRandom()
	if err := s.launch(ctx, fmt.Sprintf("%s=stop:%d", point, 1+w.rng.IntN(min(passes[point], 3)))); err != nil &&
		!s.proc.logs.has("fault: stopped") {
		return err
	}
	if !s.proc.stopped(reachLimit) {
		w.say("%s was not reached", point)
		w.h.report.notReached(point)
		s.kill() // Or it stops there later, and nobody wakes it.
		return s.up(ctx)
	}
	before, err := other.query(ctx, "exact")
	if err != nil {
		return fmt.Errorf("the other server, while one is stopped at %s: %w", point, err)
	}
	if err := pause(ctx, w.longPause()); err != nil {
		return err
	}
	after, err := other.query(ctx, "exact")
	s.proc.signal(syscall.SIGCONT)
	if err != nil {
		return fmt.Errorf("the other server, while one is stopped at %s: %w", point, err)
	}
	w.h.report.pause()
	w.say("server %d was stopped at %s while the other published %d to %d", s.n, point, before.Accuracy.Publication,
		after.Accuracy.Publication)
	s.died = time.Time{}
	return s.answers(ctx)
}
