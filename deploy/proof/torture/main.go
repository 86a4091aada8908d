package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == engineArg {
		os.Exit(runEngine(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// command runs the harness and returns its exit code: 0 passed, 1 failed, 2 wrong usage.
func command(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 5, "how many minutes to play; every round is played at least once, and "+
		"the last one is not cut short")
	seed := flags.Uint64("seed", 0, "seed of all random choices; 0 draws one")
	rounds := flags.String("rounds", "", "play only these rounds, separated by commas; empty plays all")
	points := flags.String("points", "", "kill only at these failpoints, separated by commas; empty kills at all")
	keep := flags.Bool("keep", false, "keep the files of a failed round")
	level := flags.String("log-level", "warn", "log level of the servers; their logs are printed when a round fails")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	chosen, err := chooseRounds(*rounds)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unknown arguments %q", flags.Args())
	case *minutes <= 0:
		err = errors.New("-minutes must be positive")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	h, err := newHarness(ctx, *seed, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	h.keep = *keep
	h.logLevel = *level
	if *points != "" {
		h.points.items = strings.Split(*points, ",")
	}
	defer h.close()
	limit := time.Duration(*minutes * float64(time.Minute))
	failed := h.run(ctx, chosen, limit)
	h.report.print(os.Stdout)
	missed := h.report.missedPoints()
	if !failed && limit >= fullRun && *rounds == "" && *points == "" && len(missed) > 0 {
		fmt.Println("FAILED: a run of this length must kill the server at every failpoint; it did not at",
			strings.Join(missed, ", "))
		failed = true
	}
	if failed {
		return 1
	}
	return 0
}

// fullRun is the length from which a run must have killed at every failpoint. Playing all
// rounds once does, so a missing point means that the server no longer reaches it.
const fullRun = 3 * time.Minute

// harness holds everything that the rounds share.
type harness struct {
	seed    uint64
	out     *lines
	started time.Time
	root    string // root is the checkout, where the server finds its ClickHouse engine.
	dir     string // dir holds all files that the harness creates.
	binary  string // binary is recount, built with failpoints.
	spawn   *spawner
	report  *report
	points  *turns[string]
	breaks  *turns[engineBreak]
	zombies *turns[string]
	volumes *turns[string]
	short   bool // short plays less of each round, for a test.
	keep    bool // keep leaves the files of a failed round.
	kept    bool // kept says that files were left.

	logLevel string // logLevel is the log level of the servers.
}

func newHarness(ctx context.Context, seed uint64, out *os.File) (_ *harness, err error) {
	h := &harness{seed: seed, out: &lines{out: out}, started: time.Now(), spawn: newSpawner(), report: newReport(seed),
		points: newTurns(seed, killPoints()), breaks: newTurns(seed, engineBreaks()),
		zombies: newTurns(seed, zombiePoints), volumes: newTurns(seed, volumes), logLevel: "warn"}
	if h.root, err = checkoutDir(); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp("", "recount-torture-"); err != nil {
		return nil, err
	}
	if h.binary, err = buildRecount(ctx, h.root, h.dir); err != nil {
		h.close()
		return nil, err
	}
	h.say("torture", "seed %d; repeat it with SEED=%d", seed, seed)
	return h, nil
}

// close removes all files but those of a failed round that are to be kept.
func (h *harness) close() {
	h.spawn.close()
	if !h.kept {
		_ = os.RemoveAll(h.dir) // The folder is temporary; an error here changes no result.
	}
}

// say prints one line with the seconds since the start and the name of the round.
func (h *harness) say(round, format string, args ...any) {
	h.out.print(fmt.Sprintf("%6.1fs  %-10s  %s", time.Since(h.started).Seconds(), round, fmt.Sprintf(format, args...)))
}

// run plays every round once, and then again in turn until the time is over or one fails.
func (h *harness) run(ctx context.Context, rounds []round, limit time.Duration) (failed bool) {
	deadline := time.Now().Add(limit)
	played := map[string]int{} // how often each round was played, by name
	for n := 0; n == 0 || time.Now().Before(deadline); n++ {
		for _, r := range rounds {
			if ctx.Err() != nil || n > 0 && time.Now().After(deadline) {
				return ctx.Err() != nil
			}
			if h.short && played[r.name] > 0 {
				continue
			}
			if !h.round(ctx, r, played[r.name]) {
				return true
			}
			played[r.name]++
		}
	}
	return false
}

// round plays one round in its own world and reports whether it passed.
func (h *harness) round(ctx context.Context, r round, n int) bool {
	if reason := r.skipReason(); reason != "" {
		h.say(r.name, "skipped: %s", reason)
		h.report.skipped(r.name, reason)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	dir := filepath.Join(h.dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(r.name, " ", "-"), n))
	w := &world{h: h, name: r.name, dir: dir,
		rng: rand.New(rand.NewPCG(h.seed, uint64(n)<<32|uint64(len(r.name))<<16|uint64(r.name[0])))}
	err := r.run(ctx, w)
	w.close()
	h.report.round(err)
	if err == nil {
		h.say(r.name, "passed: %d events acknowledged, %d requests sent again, 0 lost, 0 counted twice",
			w.acked(), w.retried())
		_ = os.RemoveAll(dir)
		return true
	}
	h.say(r.name, "FAILED with seed %d: %v\n%s", h.seed, err, w.logs())
	if h.kept = h.keep; h.kept {
		h.say(r.name, "its files are kept in %s", dir)
	}
	return false
}

// roundLimit is how long a round may take; it ends one that hangs.
const roundLimit = 4 * time.Minute
