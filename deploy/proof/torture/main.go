package main

import (
	"context"
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

// command runs the harness as its flags say: 0 all was well, 1 not, 2 usage.
func command(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 5, "how long to go on; every round is played once, and the one under way is "+
		"brought to its end")
	seed := flags.Uint64("seed", 0, "seed of everything that is drawn; 0 draws one")
	rounds := flags.String("rounds", "", "only these rounds, separated by commas; empty: all, in turn")
	points := flags.String("points", "", "only these failpoints, separated by commas")
	keep := flags.Bool("keep", false, "keep the data of a failed round")
	level := flags.String("log-level", "warn", "how much the servers say; shown when a round fails")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	chosen, err := chooseRounds(*rounds)
	if err != nil || flags.NArg() > 0 || *minutes <= 0 {
		fmt.Fprintln(os.Stderr, "torture:", err, flags.Args())
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
		h.points.things = strings.Split(*points, ",")
	}
	defer h.close()
	limit := time.Duration(*minutes * float64(time.Minute))
	failed := h.run(ctx, chosen, limit)
	h.report.print(os.Stdout)
	if missed := h.report.missed(); !failed && limit >= wholeRun && *rounds == "" && *points == "" && len(missed) > 0 {
		fmt.Println("FAILED: in a run of this length the server must have been killed at every failpoint; never at",
			strings.Join(missed, ", "))
		failed = true
	}
	if failed {
		return 1
	}
	return 0
}

// wholeRun is from where on a run must have come to every failpoint: a turn of all rounds
// does, and a point that is no longer reached is a kill that nobody tries any more.
const wholeRun = 3 * time.Minute

// harness is what all rounds share.
type harness struct {
	seed    uint64
	out     *lines
	started time.Time
	root    string // the checkout, in which the server finds its ClickHouse engine
	dir     string // of everything the harness makes
	binary  string // recount, built for tests
	spawn   *spawner
	report  *report
	points  *turns[string]
	breaks  *turns[engineBreak]
	zombies *turns[string]
	volumes *turns[string]
	short   bool // for a test: less of everything
	keep    bool
	kept    bool

	logLevel string // of the servers
}

func newHarness(ctx context.Context, seed uint64, out *os.File) (_ *harness, err error) {
	h := &harness{seed: seed, out: &lines{to: out}, started: time.Now(), spawn: newSpawner(), report: newReport(seed),
		points: newTurns(seed, killPoints()), breaks: newTurns(seed, engineBreaks()),
		zombies: newTurns(seed, zombiePoints), volumes: newTurns(seed, volumes), logLevel: "warn"}
	if h.root, err = checkout(); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp("", "recount-torture-"); err != nil {
		return nil, err
	}
	if h.binary, err = buildRecount(ctx, h.root, h.dir); err != nil {
		h.close()
		return nil, err
	}
	h.say("torture", "seed %d; run it again with SEED=%d", seed, seed)
	return h, nil
}

// close removes everything but the data of a failed round that is to be kept.
func (h *harness) close() {
	h.spawn.close()
	if !h.kept {
		_ = os.RemoveAll(h.dir) // What cannot be removed is not worth another error.
	}
}

// say prints one line with the time since the start.
func (h *harness) say(round, format string, args ...any) {
	h.out.print(fmt.Sprintf("%6.1fs  %-10s  %s", time.Since(h.started).Seconds(), round, fmt.Sprintf(format, args...)))
}

// run does every round once, and then more in turn until the time is over or one fails.
func (h *harness) run(ctx context.Context, rounds []round, limit time.Duration) (failed bool) {
	deadline := time.Now().Add(limit)
	played := map[string]int{} // by name
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

// round does one round in a world of its own and reports whether all was well.
func (h *harness) round(ctx context.Context, r round, n int) bool {
	if why := r.skip(); why != "" {
		h.say(r.name, "left out: %s", why)
		h.report.skipped(r.name, why)
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
		h.say(r.name, "done: %d acknowledged, %d requests sent again, 0 lost, 0 double", w.acked(), w.retried())
		_ = os.RemoveAll(dir)
		return true
	}
	h.say(r.name, "FAILED with seed %d: %v\n%s", h.seed, err, w.logs())
	if h.kept = h.keep; h.kept {
		h.say(r.name, "its data is kept in %s", dir)
	}
	return false
}

// roundLimit ends a round that hangs.
const roundLimit = 4 * time.Minute
