package landing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
)

var (
	simFrom  = flag.Uint64("sim.from", 0, "first seed of the simulation")
	simSeeds = flag.Uint64("sim.seeds", 60, "number of seeds of the simulation")
)

const (
	simMessages = 40
	simDeadline = 6 * time.Hour // by the virtual clock
)

// TestSimulation runs two landers of one partition on a log, records and a store that lose requests
// and replies, deliver late, mangle objects, and are trimmed. The landers are killed at any
// operation, restarted, and reconfigured. In the end the chain has no gap, and every acknowledged
// event is in the lake exactly once (C1–C6, L5).
func TestSimulation(t *testing.T) {
	t.Parallel()
	var all troubles
	for seed := *simFrom; seed < *simFrom+*simSeeds; seed++ {
		met, err := simulate(t, func(*world) {}, seed)
		if err != nil {
			t.Errorf("seed %d (go test -run TestSimulation$ -sim.from %d -sim.seeds 1): %v", seed, seed, err)
		}
		all.kills += met.kills
		all.seals += met.seals
		all.orphans += met.orphans
	}
	if *simSeeds >= 20 && (all.kills == 0 || all.seals == 0 || all.orphans == 0) {
		t.Errorf("too few troubles to prove anything: %+v", all)
	}
}

// troubles counts the troubles of a simulation.
type troubles struct {
	kills   int // processes that were killed during an operation
	seals   int // epochs after the first
	orphans int // objects that no record names
}

// TestSimulationNotices runs the simulation on stores that break their promises. If it does not
// notice, it proves nothing.
func TestSimulationNotices(t *testing.T) {
	t.Parallel()
	for name, breakStore := range map[string]func(*world){
		"records are replaced":          func(w *world) { w.Overwrites = true },
		"objects rot after they landed": func(w *world) { w.rots = true },
	} {
		t.Run(name, func(t *testing.T) {
			noticed := 0
			for seed := range uint64(20) {
				if _, err := simulate(t, breakStore, seed); err != nil {
					noticed++
				}
			}
			if noticed == 0 {
				t.Error("none of 20 seeds noticed it")
			}
		})
	}
}

// simulate runs one seed to its end and checks the lake.
func simulate(t *testing.T, breakStore func(*world), seed uint64) (met troubles, err error) {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld()
		breakStore(w)
		err = run(t, w, seed)
	})
	met = troubles{kills: w.kills, orphans: len(w.objects)}
	if c, err := LoadChain(t.Context(), w, 0); err == nil {
		met.seals = len(c.Epochs) - 1
		for _, s := range c.Segments {
			met.orphans -= len(s.Objects)
		}
	}
	return met, errors.Join(err, w.check(t, 0))
}

// run runs two landers, a producer and a trimmer until everything has landed.
func run(t *testing.T, w *world, seed uint64) error {
	ctx, end := context.WithTimeout(t.Context(), simDeadline)
	defer end()
	rng := rand.New(rand.NewPCG(seed, 1))
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for id := range uint64(2) {
		wg.Go(func() {
			if err := runLives(ctx, t, w, rand.New(rand.NewPCG(seed, 10+id)), seed, id); err != nil {
				failed <- err
			}
		})
	}
	wg.Go(func() { trimLog(ctx, w, rand.New(rand.NewPCG(seed, 2))) })
	produceAll(t, w, rng)
	defer wg.Wait()
	defer end()
	return settle(ctx, t, w, failed)
}

// produceAll appends messages of several types. Some pauses are longer than the cut interval.
func produceAll(t *testing.T, w *world, rng *rand.Rand) {
	types := []*catalog.EventType{clicked, clicked2, viewed, viewed2}
	for range simMessages {
		w.produce(t, 0, types[rng.IntN(len(types))], 1+rng.IntN(25), time.Now())
		pause := time.Duration(rng.Int64N(int64(200 * time.Millisecond)))
		if rng.IntN(8) == 0 {
			pause *= 30
		}
		time.Sleep(pause)
	}
}

// settle waits until everything has landed.
func settle(ctx context.Context, t *testing.T, w *world, failed <-chan error) error {
	for ctx.Err() == nil {
		select {
		case err := <-failed:
			return err
		case <-time.After(time.Second):
		}
		if _, err := LoadChain(ctx, w, 0); err != nil {
			return err
		}
		if w.landedAll(t, 0) {
			return nil
		}
	}
	return fmt.Errorf("not everything landed in %s", simDeadline)
}

// runLives runs one lander after another, each until it is killed.
func runLives(ctx context.Context, t *testing.T, w *world, rng *rand.Rand, seed, id uint64) error {
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			n.late.Wait()
		}
	}()
	for life := uint64(0); ctx.Err() == nil; life++ {
		n := newNode(w, seed, 100+2*life+id, 6)
		n.killAt = rng.IntN(120)
		nodes = append(nodes, n)
		alive, kill := context.WithCancel(ctx)
		n.kill = kill
		err := runLife(alive, t, n, rng)
		kill()
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
	}
	return nil
}

// runLife runs one process from its start until it is killed. Every tenth process has another cut
// rule, and every tenth believes that the log has lost its end.
func runLife(ctx context.Context, t *testing.T, n *node, rng *rand.Rand) error {
	next := testNext
	if rng.IntN(10) == 0 {
		next.Rule = position.CutRule{Interval: 700 * time.Millisecond, Rows: 30, Bytes: 1 << 20}
	}
	seals := rng.IntN(10) == 0
	for ctx.Err() == nil {
		chain, err := Begin(ctx, n, 0, next, nil)
		if err == nil && seals {
			err = SealEpoch(ctx, n, chain, next, "a test")
			seals = err != nil
		}
		if err != nil {
			if !errors.Is(err, errLost) && ctx.Err() == nil {
				return err
			}
			continue
		}
		return newLander(t, Config{}, n, chain).Run(ctx)
	}
	return nil
}

// trimLog trims the log below the chain head, as the janitor may (L6).
func trimLog(ctx context.Context, w *world, rng *rand.Rand) {
	for sleep(ctx, time.Duration(rng.Int64N(int64(4*time.Second)))) == nil {
		if c, err := LoadChain(ctx, w, 0); err == nil {
			w.trim(0, c.Head.Seq)
		}
	}
}
