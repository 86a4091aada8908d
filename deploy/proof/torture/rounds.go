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

// round is one way to hurt a world. run begins with an empty one and ends it.
type round struct {
	name string
	run  func(ctx context.Context, w *world) error
	skip func() string // why it cannot be played here; empty: it can
}

func always() string { return "" }

// rounds in the order in which they take turns.
var rounds = []round{
	{"kills", killRound, always},
	{"lost log", lostLogRound, always},
	{"network", networkRound, always},
	{"kills", killRound, always}, // Two of them in a turn come to every failpoint.
	{"zombies", zombieRound, always},
	{"pause", pauseRound, always},
	{"disk", diskRound, cannotMount},
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
			return nil, fmt.Errorf("no round is named %q", name)
		}
		chosen = append(chosen, rounds[i])
	}
	return chosen, nil
}

// killsARound is how often one world is killed before it is compared with the truth; one
// of randomEvery at a random moment, the others at a failpoint each.
const (
	killsARound      = 30
	killsAShortRound = 5
	randomEvery      = 6
)

// killRound kills a server at failpoints and at random moments, in turn: each start
// follows a kill.
func killRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	s := w.servers[0]
	if err := w.killSoon(ctx, s); err != nil {
		return err
	}
	kills := killsARound
	if w.h.short {
		kills = killsAShortRound
	}
	for n := range kills {
		var err error
		if n%randomEvery == randomEvery-1 {
			if err = s.up(ctx); err == nil {
				err = w.killSoon(ctx, s)
			}
		} else {
			err = w.killAt(ctx, s, w.h.points.take())
		}
		if err != nil {
			return err
		}
	}
	return w.end(ctx)
}

// killSoon kills a running server at a random moment.
func (w *world) killSoon(ctx context.Context, s *server) error {
	if err := pause(ctx, w.between(100*time.Millisecond, time.Second)); err != nil {
		return err
	}
	s.kill()
	w.h.report.killedAtRandom()
	return nil
}

// reachLimit is how long a server that answers may take to come to a failpoint.
const reachLimit = 15 * time.Second

// killAt starts the server so that it ends at a failpoint, and waits until it has. A point
// that is not reached at the pass drawn is tried at its first.
func (w *world) killAt(ctx context.Context, s *server, point string) error {
	for _, pass := range []int{1 + w.rng.IntN(passes[point]), 1} {
		err := s.up(ctx, fmt.Sprintf("%s=kill:%d", point, pass))
		reached := s.proc.ended(reachLimit) && s.proc.logs.has("fault: killed at "+point)
		if err != nil && !reached {
			return fmt.Errorf("on the way to %s: %w", point, err)
		}
		s.kill()
		if reached {
			w.h.report.killedAt(point)
			w.say("killed at %s, pass %d", point, pass)
			return nil
		}
		w.h.report.notReached(point)
	}
	w.say("%s was not reached", point)
	return nil
}

// lostLogRound takes the log from a stopped server whose events are all published (L5),
// and ends the server before and after each step with which it goes on. Nothing that was
// promised is lost, because nothing that was promised was in the log alone.
func lostLogRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, false); err != nil {
		return err
	}
	if err := pause(ctx, w.between(time.Second, 2*time.Second)); err != nil {
		return err
	}
	s := w.servers[0]
	err := w.load.quiet(func() error {
		if err := s.agree(ctx); err != nil {
			return err
		}
		if err := s.proc.drain(); err != nil {
			return err
		}
		s.down()
		if err := os.RemoveAll(filepath.Join(s.dir, "log")); err != nil {
			return err
		}
		w.h.report.fault("log removed")
		for _, point := range lostLogPoints {
			if err := s.launch(ctx, point+"=kill"); err == nil || !s.proc.logs.has("fault: killed at "+point) {
				return fmt.Errorf("was not killed at %s: %w", point, err)
			}
			w.h.report.killedAt(point)
			w.say("killed at %s", point)
		}
		return s.up(ctx)
	})
	if err != nil {
		return err
	}
	if err := pause(ctx, w.between(time.Second, 2*time.Second)); err != nil {
		return err
	}
	return w.end(ctx)
}
