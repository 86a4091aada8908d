package sim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	simFrom  = flag.Uint64("sim.from", 0, "first seed of the simulation")
	simSeeds = flag.Uint64("sim.seeds", 30, "number of seeds of the simulation")
	simTrace = flag.Bool("sim.trace", false, "print the schedule of a seed that holds, too")
)

// outcome is what a seed came to.
type outcome struct {
	err    error
	digest uint64 // of the schedule
	trace  []string
	steps  int
	world  *world
}

// ordinary is the surroundings of a seed: they vary, and keep every promise.
func ordinary(seed uint64) breaks {
	return breaks{
		msgIDs: seed%2 == 1, lossy: seed%3 == 2, views: seed%6 == 4, shortWindow: seed%5 == 3,
		otherRule: seed%8 == 3, oneOwner: seed%7 == 6, restless: seed%9 == 5, rot: seed%16 == 7, slowSpeed: seed%4 == 1,
		forgets: seed%3 == 1,
		fills:   seed%7 == 2, newRule: seed%5 == 2, pinning: seed%4 == 2, crowd: seed%24 == 4,
	}
}

// simulate plays one seed.
func simulate(t *testing.T, seed uint64, b breaks) (o outcome) {
	base := scratch(t)
	defer os.RemoveAll(base)
	synctest.Test(t, func(t *testing.T) {
		root, end := context.WithCancel(context.Background())
		w := newWorld(root, seed, b)
		err := w.plays(base, end)
		o = outcome{err: err, digest: w.digest, trace: w.trace, steps: w.steps, world: w}
	})
	return o
}

// scratch is a folder in memory where there is such a thing: snapshots are fsynced.
func scratch(t *testing.T) string {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "recount-sim-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// chaos is how many operations a seed sees before the faults end.
const chaos = 450

func (w *world) plays(base string, end func()) error {
	nodes := []*node{{w: w, name: "A", base: base}, {w: w, name: "B", base: base}, {w: w, name: "C", base: base}}
	if w.oneOwner {
		nodes = nodes[:1]
	}
	var wg sync.WaitGroup
	w.nodes = nodes
	for _, n := range nodes {
		wg.Go(n.runs)
	}
	writer := w.start("writer")
	wg.Go(func() { w.writes(writer, 14) })
	defer wg.Wait()
	defer end()
	w.run(func() bool { return w.steps > chaos && w.written || w.steps > 3*chaos || w.ticks > 3000 },
		func() { w.troubles(nodes) })
	if err := w.failure(); err != nil {
		return err
	}
	w.bad = 0
	w.note("the faults end")
	for _, n := range nodes {
		n.kill()
	}
	last := w.ticks + 500
	w.run(func() bool { return w.settled(nodes) || w.ticks > last || w.rot && w.ticks > last-460 },
		func() { w.watches(nodes) })
	err := w.failure()
	if err == nil && !w.rot {
		err = w.verdict(nodes)
	}
	return err
}

// covers reports whether offsets are behind every event.
func (w *world) covers(through []uint64) bool {
	for p := range w.logs {
		for seq, m := range w.logs[p].line {
			if len(m.events) > 0 && seq >= through[p] {
				return false
			}
		}
	}
	return true
}

// settled reports whether every owner has answered for everything, exact and merged.
func (w *world) settled(nodes []*node) bool {
	w.mu.Lock()
	pending := false
	for _, o := range w.pending {
		pending = pending || o.p == nil
	}
	w.mu.Unlock()
	if pending || !w.written {
		return false
	}
	for _, n := range nodes {
		if n.name == "C" {
			continue
		}
		for view := range catalogs[w.catalog].Views {
			if !n.final[view+"exact"] || !n.final[view+"merged"] {
				return w.otherRule && n.name == "B"
			}
		}
	}
	return true
}

func (w *world) state(nodes []*node) string {
	var s strings.Builder
	for p := range w.logs {
		fmt.Fprintf(&s, "partition %d: log [%d, %d), chain %d; ", p, w.logs[p].first, w.logs[p].next, w.logs[p].head)
	}
	if n := len(w.states); n > 0 {
		fmt.Fprintf(&s, "publication %d %v; ", n, w.states[n-1].H)
	}
	for _, n := range nodes {
		fmt.Fprintf(&s, "%s up %t: %v, recompute: %v; ", n.p.name, n.up, n.final, n.failed)
	}
	return s.String() + fmt.Sprint("written ", w.written)
}

// report describes a failing seed with its schedule, which it keeps whole in a file in dir.
func (o outcome) report(dir string, seed uint64) string {
	file := filepath.Join(dir, fmt.Sprintf("recount-sim-%d.txt", seed))
	_ = os.WriteFile(file, []byte(strings.Join(o.trace, "\n")+"\n"), 0o644)
	tail := o.trace[max(0, len(o.trace)-60):]
	return fmt.Sprintf("seed %d: %v\nplay again: go test ./deploy/proof/sim -run TestSimulation$ -sim.from %d "+
		"-sim.seeds 1\nschedule, whole in %s, the end of it:\n%s",
		seed, o.err, seed, file, strings.Join(tail, "\n"))
}

// TestSimulation plays seeds on all cores.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var next, steps, acks atomic.Int64
	var all met
	next.Store(int64(*simFrom))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				seed := uint64(next.Add(1) - 1)
				if seed >= *simFrom+*simSeeds {
					return
				}
				o := simulate(t, seed, ordinary(seed))
				steps.Add(int64(o.steps))
				acks.Add(int64(o.world.acks))
				all.add(o.world.met)
				if o.err != nil {
					t.Error(o.report(os.TempDir(), seed))
				} else if *simTrace {
					t.Log(strings.Join(o.trace, "\n"))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %d operations, %d answers compared, %d kills and power failures, %d acknowledgements", *simSeeds,
		steps.Load(),
		all.sum("answer: merged", "answer: exact", "answer: live"), all.sum("kill", "power failure"), acks.Load())
	t.Logf("met:%s", all.table())
	if never := all.never(); len(never) > 0 && !t.Failed() && *simSeeds >= everyTrouble {
		t.Errorf("the simulation never met: %s", strings.Join(never, "; "))
	}
}

// TestOneSeedIsOneSchedule plays seeds twice.
func TestOneSeedIsOneSchedule(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		a := simulate(t, seed, ordinary(seed))
		b := simulate(t, seed, ordinary(seed))
		if a.digest != b.digest {
			for i := range min(len(a.trace), len(b.trace)) {
				if a.trace[i] != b.trace[i] {
					t.Errorf("seed %d: operation %d is %q and %q", seed, i, a.trace[i], b.trace[i])
					break
				}
			}
		}
		if errors.Join(a.err, b.err) != nil {
			t.Log(a.err, b.err)
		}
	}
}

// TestFailingSeedPrintsItsSchedule plants a client that sends copies to any partition (L3). The report of the
// seed that fails has all that a person needs, and the seed fails again in the same way.
func TestFailingSeedPrintsItsSchedule(t *testing.T) {
	t.Parallel()
	planted := func(seed uint64) breaks {
		b := ordinary(seed)
		b.scatter = true
		return b
	}
	seed := uint64(0)
	o := simulate(t, seed, planted(seed))
	for ; o.err == nil && seed < 20; o = simulate(t, seed, planted(seed)) {
		seed++
	}
	if o.err == nil {
		t.Fatalf("%d seeds hold without L3", seed)
	}
	dir := t.TempDir()
	report := o.report(dir, seed)
	for _, want := range []string{o.err.Error(), fmt.Sprintf("-sim.from %d -sim.seeds 1\n", seed), dir,
		o.trace[len(o.trace)-1]} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q: %s", want, report)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 || !strings.Contains(report, files[0]) {
		t.Fatalf("files %v, %v: %s", files, err, report)
	}
	schedule, err := os.ReadFile(files[0])
	if lines := strings.Split(strings.TrimSpace(string(schedule)), "\n"); err != nil || len(lines) != len(o.trace) ||
		len(lines) < chaos {
		t.Errorf("the schedule has %d lines of %d, %v", len(lines), len(o.trace), err)
	}
	again := simulate(t, seed, planted(seed))
	if again.err == nil || again.err.Error() != o.err.Error() || again.digest != o.digest {
		t.Errorf("played again seed %d comes to %v in schedule %x; first to %v in %x", seed, again.err, again.digest,
			o.err, o.digest)
	}
}
