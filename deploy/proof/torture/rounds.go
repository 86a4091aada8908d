package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// round injects one kind of fault into a world.
type round struct {
	name       string
	run        func(ctx context.Context, w *world) error // run opens the empty world and finishes it.
	skipReason func() string                             // skipReason is empty where the round can be played.
}

func always() string { return "" }

// rounds are the rounds in the order in which they are played. Their names are part of the seed.
var rounds = []round{
	{"kills", killRound, always},
	{"lost log", lostLogRound, always},
	{"network", networkRound, always},
	{"kills", killRound, always}, // Two of these are needed to kill at every failpoint.
	{"zombies", zombieRound, always},
	{"pause", pauseRound, always},
	{"disk", diskRound, mountProblem},
	{"clock", clockRound, always},
	{"flips", flipRound, always},
	{"trimmed", trimmedRound, always},
	{"split", splitRound, always},
	{"cluster", clusterRound, always},
}

func chooseRounds(names string) ([]round, error) {
	if names == "" {
		return rounds, nil
	}
	var chosen []round
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rounds, func(r round) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown round %q", name)
		}
		chosen = append(chosen, rounds[i])
	}
	return chosen, nil
}

// killsPerRound is how often a round kills its server before it compares the answers. One of
// randomEvery kills is at a random moment, the others are at a failpoint.
const (
	killsPerRound      = 33
	killsPerShortRound = 5
	randomEvery        = 6
)

// killRound kills a server at failpoints and at random moments, and starts it again each time.
func killRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	s := w.servers[0]
	if err := w.killSoon(ctx, s); err != nil {
		return err
	}
	kills := killsPerRound
	if w.h.short {
		kills = killsPerShortRound
	}
	for n := range kills {
		var err error
		if n%randomEvery == randomEvery-1 {
			if err = s.start(ctx); err == nil {
				err = w.killSoon(ctx, s)
			}
		} else {
			err = w.killAt(ctx, s, w.h.points.draw())
		}
		if err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// killSoon kills a running server at a random moment.
func (w *world) killSoon(ctx context.Context, s *server) error {
	if err := sleep(ctx, w.randomDuration(100*time.Millisecond, time.Second)); err != nil {
		return err
	}
	s.kill()
	w.h.report.killedAtRandom()
	return nil
}

// reachLimit is how long after its first answer a server may need to reach a failpoint.
const reachLimit = 15 * time.Second

// killAt starts the server so that it ends at a failpoint, and waits for its end. If it does not
// reach the pass that was drawn, it is started again to end at the first pass.
func (w *world) killAt(ctx context.Context, s *server, point string) error {
	for _, pass := range []int{1 + w.rng.IntN(passes[point]), 1} {
		err := s.start(ctx, fmt.Sprintf("%s=kill:%d", point, pass))
		reached := s.proc.endsWithin(reachLimit) && s.proc.logs.contains("killed at "+point)
		if err != nil && !reached {
			return fmt.Errorf("start the server that ends at %s: %w", point, err)
		}
		s.kill()
		if reached {
			w.h.report.killedAt(point)
			w.say("killed at %s, pass %d", point, pass)
			return nil
		}
		w.h.report.notReached(point)
	}
	w.say("failpoint %s was not reached", point)
	return nil
}

// lostLogRound removes the log of a stopped server whose events are all published (L5). Then it
// kills the server before and after each step by which it continues. No acknowledged event is
// lost, because none was in the log alone.
func lostLogRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	if err := sleep(ctx, w.randomDuration(time.Second, 2*time.Second)); err != nil {
		return err
	}
	s := w.servers[0]
	err := w.load.withoutRequests(func() error {
		if err := s.agree(ctx); err != nil {
			return err
		}
		if err := s.proc.drain(); err != nil {
			return err
		}
		s.markDown()
		if err := os.RemoveAll(filepath.Join(s.dir, "log")); err != nil {
			return err
		}
		w.h.report.fault("log removed")
		s.newLog = true
		defer func() { s.newLog = false }()
		for _, point := range lostLogPoints {
			if err := s.launch(ctx, point+"=kill"); err == nil || !s.proc.logs.contains("killed at "+point) {
				return fmt.Errorf("the server did not end at failpoint %s: %w", point, err)
			}
			w.h.report.killedAt(point)
			w.say("killed at %s", point)
		}
		return s.start(ctx)
	})
	if err != nil {
		return err
	}
	if err := sleep(ctx, w.randomDuration(time.Second, 2*time.Second)); err != nil {
		return err
	}
	return w.finish(ctx)
}
