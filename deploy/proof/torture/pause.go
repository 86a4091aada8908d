package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"recount/schemas/query"
)

// longPause draws a duration longer than every timeout of a server in a test build: a request's
// (5 s) and, unless the run is short, that after which the log forgets a reader (10 s).
// recount uses no leases, so no other timeout matters.
func (w *world) longPause() time.Duration {
	if w.h.short {
		return w.randomDuration(5500*time.Millisecond, 6500*time.Millisecond)
	}
	return w.randomDuration(11*time.Second, 13*time.Second)
}

// pauseRound stops the only server for longer than any timeout.
func pauseRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	if err := sleep(ctx, w.randomDuration(500*time.Millisecond, 2*time.Second)); err != nil {
		return err
	}
	if err := w.stopAndContinue(ctx, w.servers[0]); err != nil {
		return err
	}
	return w.finish(ctx)
}

// stopAndContinue stops a server for longer than its timeouts and then lets it continue.
func (w *world) stopAndContinue(ctx context.Context, s *server) error {
	s.proc.signal(syscall.SIGSTOP)
	began := time.Now()
	err := sleep(ctx, w.longPause())
	s.proc.signal(syscall.SIGCONT)
	w.h.report.pause()
	w.say("server %d was stopped for %s", s.n, time.Since(began).Round(time.Millisecond))
	if err != nil {
		return err
	}
	return sleep(ctx, w.randomDuration(500*time.Millisecond, time.Second))
}

// zombiePoints are the failpoints at which a server is stopped while another does its work. They
// are before and after the steps that the other must find done or must do itself.
var zombiePoints = []string{
	"landing.create.before", "landing.create.after", "landing.put.before", "publish.create.before",
	"publish.create.after", "publish.write.before", "publish.verify.before", "publish.insert.before",
	"publish.collect.before", "log.trim.before", "log.append.before", "snapshot.rename.before",
}

// zombieRound runs two servers with every role over the same engines. One is stopped at a
// failpoint until the other has landed and published in its place. Then it continues with the
// step it was about to take.
func zombieRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 2, true); err != nil {
		return err
	}
	n := 3
	if w.h.short {
		n = 1
	}
	for i := range n {
		if err := w.zombie(ctx, w.servers[i%2], w.servers[1-i%2], w.h.zombies.draw()); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// zombie restarts server s so that it stops at a failpoint, and continues it after a long pause.
func (w *world) zombie(ctx context.Context, s, other *server, point string) error {
	s.kill()
	w.h.report.killedAtRandom()
	if err := s.launch(ctx, fmt.Sprintf("%s=stop:%d", point, 1+w.rng.IntN(min(passes[point], 3)))); err != nil &&
		!s.proc.logs.contains("stopped (signal) at "+point) {
		return err
	}
	if !s.proc.waitUntilStopped(reachLimit) {
		w.say("failpoint %s was not reached", point)
		w.h.report.notReached(point)
		s.kill() // It might reach the point later, and nothing would continue it.
		return s.start(ctx)
	}
	before, err := other.query(ctx, query.Exact)
	if err != nil {
		return fmt.Errorf("query the other server while one is stopped at %s: %w", point, err)
	}
	if err := sleep(ctx, w.longPause()); err != nil {
		return err
	}
	after, err := other.query(ctx, query.Exact)
	s.proc.signal(syscall.SIGCONT)
	if err != nil {
		return fmt.Errorf("query the other server while one is stopped at %s: %w", point, err)
	}
	w.h.report.pause()
	w.say("server %d was stopped at %s while the other went from publication %d to %d", s.n, point,
		before.accuracy.Publication, after.accuracy.Publication)
	s.downSince = time.Time{}
	return s.waitForAnswer(ctx)
}
