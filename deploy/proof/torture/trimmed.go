package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"recount/schemas/query"
	"recount/speed/eventlog"
)

// trimLimit is how long the other server may need to publish, to drop old publications and to
// trim the log.
const trimLimit = 90 * time.Second

// liveLimit is how long the continued server may need to answer with a live part again.
const liveLimit = 30 * time.Second

// trimmedRound stops one of two servers until the other has trimmed the log past all it had read.
func trimmedRound(ctx context.Context, w *world) error {
	// The stopped server does not ingest; otherwise the client's requests would wait for it.
	if err := w.openRoles(ctx, []string{"speed,landing,batch,serving", ""}, engineKinds); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, w.randomDuration(time.Second, 2*time.Second)); err != nil {
		return err
	}
	if err := w.stopUntilTrimmed(ctx, w.servers[0]); err != nil {
		return err
	}
	return w.finish(ctx)
}

// stopUntilTrimmed stops a server until others have trimmed the log past all it had read. Once
// continued, the server must not answer a smaller number than before, unless with an error. By
// itself it must come back to answers with a live part.
func (w *world) stopUntilTrimmed(ctx context.Context, zombie *server) error {
	before, err := zombie.query(ctx, query.Merged)
	if err != nil {
		return err
	}
	zombie.proc.signal(syscall.SIGSTOP)
	began := time.Now()
	err = w.waitUntilTrimmed(ctx)
	zombie.proc.signal(syscall.SIGCONT)
	if err != nil {
		return err
	}
	w.h.report.pause()
	w.h.report.fault("log trimmed past a stopped server")
	w.say("server %d was stopped for %s, until the log was trimmed past all it had read", zombie.n,
		time.Since(began).Round(time.Millisecond))
	refused := 0
	for range 60 {
		after, err := zombie.query(ctx, query.Merged)
		if err != nil {
			refused++
		} else if after.hits() < before.hits() {
			return fmt.Errorf("server %d answered %d hits before it was stopped and %d afterwards (publication %d, "+
				"stale partitions %v)", zombie.n, before.hits(), after.hits(), after.accuracy.Publication,
				after.accuracy.StalePartitions)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	err = eventually(ctx, liveLimit, func() error {
		a, err := zombie.query(ctx, query.Merged)
		if err == nil && len(a.accuracy.StalePartitions) > 0 {
			err = fmt.Errorf("server %d answers without the live part of partitions %v",
				zombie.n, a.accuracy.StalePartitions)
		}
		return errors.Join(err, zombie.ready(ctx))
	})
	w.say("of 60 queries server %d refused %d and answered none with a smaller number; live again: %t",
		zombie.n, refused, err == nil)
	return err
}

func (a answer) hits() (n int64) {
	for _, r := range a.rows {
		n += r.Hits
	}
	return n
}

// waitUntilTrimmed waits until every message that the log holds now is trimmed.
func (w *world) waitUntilTrimmed(ctx context.Context) error {
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
			return errors.New("the log is not trimmed past the messages that the stopped server has not read")
		}
		return nil
	})
}
