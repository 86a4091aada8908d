package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"recount/speed/eventlog"
)

// trimLimit is how long the other server may take to publish, let the kept publications
// age and trim.
const trimLimit = 90 * time.Second

// liveLimit is how long a server that was outrun may take to answer from its real-time views again.
const liveLimit = 30 * time.Second

// trimmedRound stops one of two servers until the other has trimmed the log past
// everything it had read.
func trimmedRound(ctx context.Context, w *world) error {
	// It takes no events, or every request of the client would soon wait for it.
	if err := w.openRoles(ctx, []string{"speed,landing,batch,serving", ""}, engineKinds); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := pause(ctx, w.between(time.Second, 2*time.Second)); err != nil {
		return err
	}
	if err := w.outrun(ctx, w.servers[0]); err != nil {
		return err
	}
	return w.end(ctx)
}

// outrun stops a server until others have trimmed the log past everything it had read.
// Awake again it must not answer less than it did before without an error, and find its
// way back to answers with a live part by itself.
func (w *world) outrun(ctx context.Context, zombie *server) error {
	before, err := zombie.query(ctx, "merged")
	if err != nil {
		return err
	}
	zombie.proc.signal(syscall.SIGSTOP)
	began := time.Now()
	err = w.trimmedPast(ctx)
	zombie.proc.signal(syscall.SIGCONT)
	if err != nil {
		return err
	}
	w.h.report.pause()
	w.h.report.fault("log trimmed past a stopped server")
	w.say("server %d was stopped for %s, until the log was trimmed past all that it had read", zombie.n,
		time.Since(began).Round(time.Millisecond))
	refused := 0
	for range 60 {
		after, err := zombie.query(ctx, "merged")
		if err != nil {
			refused++
		} else if after.hits() < before.hits() {
			return fmt.Errorf("server %d answered %d hits before it was stopped, and %d after (publication %d, "+
				"stale %v)",
				zombie.n, before.hits(), after.hits(), after.Accuracy.Publication, after.Accuracy.Stale)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	err = eventually(ctx, liveLimit, func() error {
		a, err := zombie.query(ctx, "merged")
		if err == nil && len(a.Accuracy.Stale) > 0 {
			err = fmt.Errorf("partitions %v of server %d have no live part", a.Accuracy.Stale, zombie.n)
		}
		return errors.Join(err, zombie.ready(ctx))
	})
	w.say("60 answers of server %d: %d refused, none smaller; live again: %t", zombie.n, refused, err == nil)
	return err
}

func (a answer) hits() (n int64) {
	for _, r := range a.Rows {
		n += r.Hits
	}
	return n
}

// trimmedPast waits until the log has nothing left of what it holds now.
func (w *world) trimmedPast(ctx context.Context) error {
	c := eventlog.DefaultConfig(nil)
	c.URL = "nats://" + w.engines.listen["nats"]
	c.Partitions = 3
	c.Durability = eventlog.Relaxed
	c.ReadOnly = true
	log, err := eventlog.Open(ctx, c)
	if err != nil {
		return err
	}
	defer log.Close()
	var held []uint64
	return eventually(ctx, trimLimit, func() error {
		var firsts, nexts []uint64
		for p := range c.Partitions {
			first, next, err := log.Bounds(ctx, p)
			if err != nil {
				return err
			}
			firsts = append(firsts, first)
			nexts = append(nexts, next)
		}
		if held == nil {
			held = nexts
		}
		if slices.ContainsFunc([]int{0, 1, 2}, func(p int) bool { return firsts[p] < held[p] }) {
			return errors.New("the log still has what a stopped server has not read")
		}
		return nil
	})
}
