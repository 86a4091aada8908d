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
	simTrace = flag.Bool("sim.trace", false, "print the schedules of seeds that hold, too")
)

// outcome is the result of a seed.
type outcome struct {
	err    error
	digest uint64 // digest is the digest of the schedule.
	trace  []string
	steps  int
	world  *world
}

// ordinarySurroundings returns the surroundings of a seed. They differ between seeds and break no promise.
func ordinarySurroundings(seed uint64) surroundings {
	return surroundings{
		messageIDs: seed%2 == 1, lossy: seed%3 == 2, changeViews: seed%6 == 4, shortWindow: seed%5 == 3,
		otherRule: seed%8 == 3, oneOwner: seed%7 == 6, eagerJobs: seed%9 == 5, vanish: seed%16 == 7,
		slowSpeed: seed%4 == 1, rowDamage: seed%3 == 1, smallLog: seed%7 == 2, changeRule: seed%5 == 2,
		pinning: seed%4 == 2, manyUsers: seed%24 == 4, apart: seed%6 == 1, capped: seed%4 == 0,
		liveCatalog: seed%12 == 2 || seed%24 == 0, smallSteps: seed%4 != 1,
	}
}

// simulate plays one seed.
func simulate(t *testing.T, seed uint64, around surroundings) (o outcome) {
	base := makeScratchDir(t)
	defer os.RemoveAll(base)
	synctest.Test(t, func(*testing.T) {
		root, cancel := context.WithCancel(context.Background())
		w := newWorld(root, seed, around)
		err := w.playSeed(base, cancel)
		o = outcome{err: err, digest: w.digest, trace: w.trace, steps: w.steps, world: w}
	})
	return o
}

// makeScratchDir creates a folder, in memory where the system has /dev/shm: snapshots are fsynced often.
func makeScratchDir(t *testing.T) string {
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

// faultyOperations is how many operations a seed plays before the faults end.
const faultyOperations = 450

// playSeed runs the nodes and the writer, first with faults and then without, and checks the result.
func (w *world) playSeed(base string, cancel func()) error {
	var nodes []*node
	for _, name := range []string{"A", "B", "C"} {
		nodes = append(nodes, &node{w: w, name: name, baseDir: base})
	}
	if w.oneOwner {
		nodes = nodes[:1]
	}
	var wg sync.WaitGroup
	w.nodes = nodes
	for _, n := range nodes {
		wg.Go(n.runProcesses)
	}
	writer := w.start("writer")
	wg.Go(func() { w.runWriter(writer, 14) })
	if w.vanish {
		operator := w.start("operator")
		wg.Go(func() { w.runOperator(operator) })
	}
	defer wg.Wait()
	defer cancel()
	w.run(func() bool {
		return w.steps > faultyOperations && w.written || w.steps > 3*faultyOperations || w.ticks > 3000
	},
		func() { w.injectFaults(nodes) })
	if err := w.failure(); err != nil {
		return err
	}
	w.bad = 0
	w.tracef("the faults end")
	for _, n := range nodes {
		n.kill()
	}
	last := w.ticks + 500
	w.run(func() bool { return w.settled(nodes) || w.ticks > last }, func() { w.checkLanders(nodes) })
	err := w.failure()
	if err == nil {
		err = w.checkFinalState(nodes)
		if err == nil && w.apart && w.rowDamage {
			err = w.checkLateDamage()
		}
		if err == nil {
			err = w.checkMissingRecords(nodes)
		}
	}
	return err
}

// coversAll reports whether every event is below the given offsets.
func (w *world) coversAll(through []uint64) bool {
	for p := range w.logs {
		for seq, m := range w.logs[p].messages {
			if len(m.events) > 0 && seq >= through[p] {
				return false
			}
		}
	}
	return true
}

// settled reports whether every owner has given exact and merged answers that cover all events.
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
	for p := range w.logs {
		if l := &w.logs[p]; l.vanished > 0 && l.vanished >= l.chainHead {
			return false // The operator has not given it up, and no lander that could read it has landed it.
		}
	}
	for _, n := range nodes {
		if n.name == "C" {
			continue
		}
		for view := range catalogs[w.catalog].Views {
			if !n.finalAnswers[view+"exact"] || !n.finalAnswers[view+"merged"] {
				return w.otherRule && n.name == "B"
			}
		}
	}
	return true
}

// describe describes the world for the error of a seed that does not settle.
func (w *world) describe(nodes []*node) string {
	var s strings.Builder
	for p := range w.logs {
		l := &w.logs[p]
		fmt.Fprintf(&s, "partition %d: log [%d, %d), chain head %d; ", p, l.first, l.next, l.chainHead)
	}
	if n := len(w.states); n > 0 {
		fmt.Fprintf(&s, "publication %d %v; ", n, w.states[n-1].H)
	}
	for _, n := range nodes {
		fmt.Fprintf(&s, "%s up %t: %v, recompute: %v; ", n.p.name, n.running, n.finalAnswers, n.recomputeErr)
	}
	return s.String() + fmt.Sprint("written ", w.written)
}

// report describes a failing seed and the end of its schedule. It writes the whole schedule to a file
// in dir.
func (o outcome) report(dir string, seed uint64) string {
	file := filepath.Join(dir, fmt.Sprintf("recount-sim-%d.txt", seed))
	_ = os.WriteFile(file, []byte(strings.Join(o.trace, "\n")+"\n"), 0o644)
	tail := o.trace[max(0, len(o.trace)-60):]
	return fmt.Sprintf("seed %d: %v\nplay it again: go test ./deploy/proof/sim -run TestSimulation$ -sim.from %d "+
		"-sim.seeds 1\nthe whole schedule is in %s; its end is:\n%s",
		seed, o.err, seed, file, strings.Join(tail, "\n"))
}

// TestSimulation plays seeds on all cores.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var next, steps, acks atomic.Int64
	var counts situationCounts
	next.Store(int64(*simFrom))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				seed := uint64(next.Add(1) - 1)
				if seed >= *simFrom+*simSeeds {
					return
				}
				o := simulate(t, seed, ordinarySurroundings(seed))
				steps.Add(int64(o.steps))
				acks.Add(int64(o.world.acks))
				counts.add(o.world.situations)
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
		counts.sum("answer: merged", "answer: exact", "answer: live"), counts.sum("kill", "power failure"), acks.Load())
	t.Logf("situations:%s", counts.table())
	if missing := counts.missing(); len(missing) > 0 && !t.Failed() && *simSeeds >= seedsForAll {
		t.Errorf("these situations did not occur: %s", strings.Join(missing, "; "))
	}
}

// TestOneSeedIsOneSchedule plays seeds twice and compares their schedules.
func TestOneSeedIsOneSchedule(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		a := simulate(t, seed, ordinarySurroundings(seed))
		b := simulate(t, seed, ordinarySurroundings(seed))
		if a.digest != b.digest {
			for i := range min(len(a.trace), len(b.trace)) {
				if a.trace[i] != b.trace[i] {
					t.Errorf("seed %d: line %d of the schedule is %q the first time and %q the second", seed, i,
						a.trace[i], b.trace[i])
					break
				}
			}
		}
		if errors.Join(a.err, b.err) != nil {
			t.Log(a.err, b.err)
		}
	}
}

// TestFailingSeedPrintsItsSchedule plays a client that sends copies to any partition (L3). The report
// of the failing seed must say how to play it again, and the seed must fail again in the same way.
func TestFailingSeedPrintsItsSchedule(t *testing.T) {
	t.Parallel()
	scattered := func(seed uint64) surroundings {
		b := ordinarySurroundings(seed)
		b.scatter = true
		return b
	}
	seed := uint64(0)
	o := simulate(t, seed, scattered(seed))
	for ; o.err == nil && seed < 20; o = simulate(t, seed, scattered(seed)) {
		seed++
	}
	if o.err == nil {
		t.Fatalf("all %d seeds hold with copies in any partition", seed)
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
		t.Fatalf("want one file that the report names: %v, %v: %s", files, err, report)
	}
	schedule, err := os.ReadFile(files[0])
	if lines := strings.Split(strings.TrimSpace(string(schedule)), "\n"); err != nil || len(lines) != len(o.trace) ||
		len(lines) < faultyOperations {
		t.Errorf("the file has %d lines of the schedule's %d, %v", len(lines), len(o.trace), err)
	}
	again := simulate(t, seed, scattered(seed))
	if again.err == nil || again.err.Error() != o.err.Error() || again.digest != o.digest {
		t.Errorf("seed %d: the second time %v in schedule %x, the first time %v in %x", seed, again.err,
			again.digest, o.err, o.digest)
	}
}
