//go:build failpoints

package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"recount/schemas/failpoint"
)

var (
	proof = flag.Bool("proof", false, "write the generated part of deploy/proof/PROOF.md anew")
	only  = flag.String("sim.rule", "", "the only rule to turn off; all when empty")
	tries = flag.Uint64("sim.tries", 200, "most seeds a rule turned off may take to be caught")
)

// rules are the numbered rules of the protocol: how each is turned off, and in which surroundings.
var rules = []struct {
	rule  failpoint.Rule
	says  string
	where string // what the switch changes
	world func(uint64) breaks
}{
	{failpoint.L1, "acknowledged means durable", "log: acknowledges first", with(func(b *breaks) {
		b.ackEarly = true
		b.lossy = false
	})},
	{failpoint.L2, "an answer tells of every partition", "client: one partition's answer is taken for all",
		with(func(b *breaks) { b.partialAck = true })},
	{failpoint.L3, "copies share a partition", "client: any partition", with(func(b *breaks) { b.scatter = true })},
	{failpoint.L4, "a full log refuses, and forgets nothing", "log: forgets its oldest messages",
		with(func(b *breaks) { b.discardOld = true })},
	{failpoint.L5, "a log that lost its end is sealed", "janitor.Begin", with(func(b *breaks) {
		b.lossy = true
		b.rot = false
	})},
	{failpoint.L6, "trim only what nobody needs", "janitor.Needed: nothing is", ordinary},
	{failpoint.C1, "cuts depend on the log alone", "landing: cuts by its own clock", ordinary},
	{failpoint.C2, "an object's name is used once", "landing: one name a segment", ordinary},
	{failpoint.C3, "a record's key holds epoch and start", "record.CommitPrefix: without the epoch", ordinary},
	{failpoint.C4, "verified before committed", "landing: does not read back", ordinary},
	{failpoint.C5, "an unknown outcome is read back", "lake.CommitLog: taken for done", ordinary},
	{failpoint.C6, "trimmed above the head: walk the chain", "landing: stops", ordinary},
	{failpoint.C7, "a gap stops the partition", "landing: passes over it", with(func(b *breaks) { b.rot = true })},
	{failpoint.C8, "collect old orphans only; look before publishing", "publish: of any age, without looking",
		ordinary},
	{failpoint.C9, "boot tries create-only", "lake.CommitLog.Probe, over a store that overwrites",
		with(func(b *breaks) { b.overwrites = true })},
	{failpoint.B1, "the input is what H says", "publish: H is less than was read", ordinary},
	{failpoint.B2, "the first copy wins", "exact: copies count", ordinary},
	{failpoint.B3, "dirty buckets are computed in full", "publish: from new segments alone", ordinary},
	{failpoint.B4, "every attempt has its version", "publish: one version a publication", ordinary},
	{failpoint.B5, "rows are read back", "publish: they are not", ordinary},
	{failpoint.P1, "H advances as a whole", "publish: one partition", ordinary},
	{failpoint.P2, "the chain decides a race", "publish: the loser thinks it won", ordinary},
	{failpoint.P3, "kept publications are not collected", "publish: only the newest is kept", ordinary},
	{failpoint.S1, "segments close at cuts", "realtime: they do not", ordinary},
	{failpoint.S2, "a cut is a boundary or an error", "realtime: the nearest boundary, one owner having another cut " +
		"rule", with(func(b *breaks) { b.otherRule = true })},
	{failpoint.S3, "evict only what the oldest kept covers", "realtime: all that is closed", ordinary},
	{failpoint.S4, "base is compared with the cut", "realtime: it is not", ordinary},
	{failpoint.S5, "a snapshot must fit the log and its epochs", "realtime: any is used", with(func(b *breaks) {
		b.lossy = true
		b.rot = false
	})},
	{failpoint.D1, "copies with assigned times meet across buckets", "exact: they do not", ordinary},
	{failpoint.D2, "seen together with counted", "realtime: seen first", ordinary},
	{failpoint.Q1, "one publication a query", "reader: pinned twice", ordinary},
	{failpoint.Q2, "speed behind the cut gives nothing", "reader: its offset is stated", ordinary},
	{failpoint.Q3, "the number of rows is checked", "the simulation's scan, and batchview: it is not", ordinary},
	{failpoint.Q4, "an answer states H and S", "reader: S is H", ordinary},
	{failpoint.Q5, "a prefix or an error", "reader: without the batch part", ordinary},
	{failpoint.A1, "every landed event is accounted for", "exact: duplicates are not", ordinary},
}

// with are ordinary surroundings with a change.
func with(change func(*breaks)) func(uint64) breaks {
	return func(seed uint64) breaks {
		b := ordinary(seed)
		change(&b)
		return b
	}
}

// first plays seeds, but for some, until one fails, and returns how many it took, 0 if none of most did.
func first(t *testing.T, most uint64, world func(uint64) breaks, but map[uint64]bool) (took uint64, err error) {
	var next, least atomic.Uint64
	least.Store(most)
	errs := make([]error, most)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= least.Load() {
					return
				}
				if but[seed] {
					continue
				}
				if errs[seed] = simulate(t, seed, world(seed)).err; errs[seed] != nil {
					for old := least.Load(); seed < old && !least.CompareAndSwap(old, seed); old = least.Load() {
					}
				}
			}
		})
	}
	wg.Wait()
	if n := least.Load(); n < most {
		return n + 1, errs[n]
	}
	return 0, nil
}

// catch turns a rule off and plays seeds until one fails that holds while the rule is on:
// surroundings that fail either way would prove nothing.
func catch(t *testing.T, rule failpoint.Rule, world func(uint64) breaks) (took uint64, err error) {
	failing := map[uint64]bool{} // with the rule on
	for {
		restore := failpoint.Switch(rule)
		took, err = first(t, *tries, world, failing)
		restore()
		if took == 0 || surroundings[rule] || simulate(t, took-1, world(took-1)).err == nil {
			return took, err
		}
		failing[took-1] = true
	}
}

// surroundings are the rules about the log and the client, which the simulation itself
// stands in for: what breaks them is the surroundings, with no switch to compare.
var surroundings = map[failpoint.Rule]bool{failpoint.L1: true, failpoint.L2: true, failpoint.L3: true,
	failpoint.L4: true, failpoint.C9: true}

// TestEveryRuleIsCaught turns one rule off after the other and wants a seed to fail.
func TestEveryRuleIsCaught(t *testing.T) {
	var table strings.Builder
	caught := 0
	for _, r := range rules {
		if *only != "" && string(r.rule) != *only {
			continue
		}
		took, err := catch(t, r.rule, r.world)
		if took == 0 {
			t.Errorf("%s (%s): turned off, and %d seeds hold", r.rule, r.says, *tries)
			fmt.Fprintf(&table, "| %s | %s | %s | not within %d seeds |\n", r.rule, r.says, r.where, *tries)
			continue
		}
		caught++
		t.Logf("%s caught after %d seeds: %.160s", r.rule, took, err)
		fmt.Fprintf(&table, "| %s | %s | %s | %d |\n", r.rule, r.says, r.where, took)
	}
	if *proof && *only == "" {
		writeProof(t, caught, table.String())
	}
}

const (
	proofFile  = "../PROOF.md"
	proofBegin = "<!-- generated by make proof -->\n"
	proofEnd   = "<!-- end of the generated part -->\n"
)

// writeProof replaces the generated part of PROOF.md.
func writeProof(t *testing.T, caught int, table string) {
	old, err := os.ReadFile(proofFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), proofBegin)
	_, after, ok2 := strings.Cut(rest, proofEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its markers", proofFile)
	}
	text := fmt.Sprintf("Rules caught: %d of %d, each within at most %d seeds.\n\n| rule | says | what the switch "+
		"changes | caught after seeds |\n|---|---|---|---|\n%s",
		caught, len(rules), *tries, table)
	if err := os.WriteFile(proofFile, []byte(before+proofBegin+text+proofEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
