//go:build failpoints

package sim

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"recount/schemas/failpoint"
)

var (
	proof = flag.Bool("proof", false, "write the generated part of deploy/proof/PROOF.md again")
	only  = flag.String("sim.rule", "", "turn off only this rule; empty turns off every rule in turn")
	tries = flag.Uint64("sim.tries", 200, "number of seeds within which a rule that is turned off must be caught")
)

// rules are the rules of schemas/PROTOCOL.md that can be turned off, with what turns each of them off.
var rules = []struct {
	rule         failpoint.Rule
	change       string                    // change says which component does what instead.
	surroundings func(uint64) surroundings // surroundings are those of the seeds while the rule is off.
}{
	{failpoint.L1, "log: acknowledges before the message is durable", vary(func(s *surroundings) {
		s.ackEarly = true
		s.lossy = false
	})},
	{failpoint.L2, "client: takes one partition's answer for all",
		vary(func(s *surroundings) { s.partialAck = true })},
	{failpoint.L3, "client: sends to any partition", vary(func(s *surroundings) { s.scatter = true })},
	{failpoint.L4, "log: drops its oldest messages",
		vary(func(s *surroundings) { s.discardOld = true })},
	{failpoint.L5, "janitor.Begin: does not seal", vary(func(s *surroundings) {
		s.lossy = true
		s.vanish = false
	})},
	{failpoint.L6, "janitor.Needed: trims everything", ordinarySurroundings},
	{failpoint.C1, "landing: also cuts by its own clock", ordinarySurroundings},
	{failpoint.C2, "landing: uses one object name for all attempts", ordinarySurroundings},
	{failpoint.C3, "record.CommitPrefix: leaves the epoch out of the key", ordinarySurroundings},
	{failpoint.C4, "landing: does not read objects back", ordinarySurroundings},
	{failpoint.C5, "lake.CommitLog: takes an unknown outcome for success", ordinarySurroundings},
	{failpoint.C6, "landing: stops when the log is trimmed", ordinarySurroundings},
	{failpoint.C7, "landing: skips the missing message", vary(func(s *surroundings) { s.vanish = true })},
	{failpoint.C8, "publish: collects orphans of any age, and does not look for objects",
		ordinarySurroundings},
	{failpoint.C9, "lake.CommitLog.Probe: accepts a store that overwrites",
		vary(func(s *surroundings) { s.overwrites = true })},
	{failpoint.C10, "landing: goes on where published records are missing", ordinarySurroundings},
	{failpoint.B1, "publish: states a smaller H than it read", ordinarySurroundings},
	{failpoint.B2, "exact: counts all copies", ordinarySurroundings},
	{failpoint.B3, "publish: computes dirty buckets from new segments alone", ordinarySurroundings},
	{failpoint.B4, "publish: uses one version for all attempts", ordinarySurroundings},
	{failpoint.B5, "publish: does not read rows back", ordinarySurroundings},
	{failpoint.B7, "exact: has no limit of values", ordinarySurroundings},
	{failpoint.B8, "publish: does not say which buckets are not filled", ordinarySurroundings},
	{failpoint.P1, "publish: advances H of one partition", ordinarySurroundings},
	{failpoint.P2, "publish: the loser believes it won", ordinarySurroundings},
	{failpoint.P3, "publish: keeps only the newest publication", ordinarySurroundings},
	{failpoint.S1, "realtime: never closes a segment at a cut", ordinarySurroundings},
	{failpoint.S2, "realtime: takes the nearest boundary, while one owner has another cut rule",
		vary(func(s *surroundings) { s.otherRule = true })},
	{failpoint.S3, "realtime: evicts all closed segments", ordinarySurroundings},
	{failpoint.S4, "realtime: does not compare the cut with the base", ordinarySurroundings},
	{failpoint.S5, "realtime: uses any snapshot", vary(func(s *surroundings) {
		s.lossy = true
		s.vanish = false
	})},
	{failpoint.S7, "realtime: counts a changed view from now on, instead of from the oldest kept publication on",
		vary(func(s *surroundings) { s.liveCatalog = true })},
	{failpoint.D1, "exact: does not compare assigned times across buckets", ordinarySurroundings},
	{failpoint.D2, "realtime: marks an id before it counts the event", ordinarySurroundings},
	{failpoint.Q1, "reader: loads the publication twice", ordinarySurroundings},
	{failpoint.Q2, "reader: states the offset of a partition that gave nothing", ordinarySurroundings},
	{failpoint.Q3, "batchview and the simulation's scan: do not check the rows", ordinarySurroundings},
	{failpoint.Q4, "reader: states H as S", ordinarySurroundings},
	{failpoint.Q5, "reader: answers without the batch part", ordinarySurroundings},
	{failpoint.Q6, "reader: does not ask what is known to be acknowledged", ordinarySurroundings},
	{failpoint.G4, "publish: stays with the generation that a process began with",
		vary(func(s *surroundings) { s.liveCatalog = true })},
	{failpoint.G5, "realtime: answers by another definition of the view",
		vary(func(s *surroundings) { s.liveCatalog = true })},
	{failpoint.A1, "exact: does not enter duplicates", ordinarySurroundings},
}

// vary returns the ordinary surroundings with a change.
func vary(change func(*surroundings)) func(uint64) surroundings {
	return func(seed uint64) surroundings {
		s := ordinarySurroundings(seed)
		change(&s)
		return s
	}
}

// firstFailure plays seeds, except those in skip, until one fails. It returns how many seeds were
// needed, or 0 if none of limit seeds fails.
func firstFailure(t *testing.T, limit uint64, around func(uint64) surroundings,
	skip map[uint64]bool) (needed uint64, err error) {
	var next, least atomic.Uint64
	least.Store(limit)
	errs := make([]error, limit)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= least.Load() {
					return
				}
				if skip[seed] {
					continue
				}
				if errs[seed] = simulate(t, seed, around(seed)).err; errs[seed] != nil {
					storeLeast(&least, seed)
				}
			}
		})
	}
	wg.Wait()
	if n := least.Load(); n < limit {
		return n + 1, errs[n]
	}
	return 0, nil
}

// storeLeast lowers least to n if it is higher.
func storeLeast(least *atomic.Uint64, n uint64) {
	for {
		old := least.Load()
		if n >= old || least.CompareAndSwap(old, n) {
			return
		}
	}
}

// catchRule turns a rule off and plays seeds until one fails that holds while the rule is on. A seed
// that fails in both cases would prove nothing.
func catchRule(t *testing.T, rule failpoint.Rule, around func(uint64) surroundings) (needed uint64, err error) {
	failing := map[uint64]bool{} // the seeds that fail with the rule on
	for {
		restore := failpoint.Switch(rule)
		needed, err = firstFailure(t, *tries, around, failing)
		restore()
		if needed == 0 || brokenBySurroundings[rule] || simulate(t, needed-1, around(needed-1)).err == nil {
			return needed, err
		}
		failing[needed-1] = true
	}
}

// brokenBySurroundings are the rules about the log, the client and the store, which are fakes here.
// The surroundings of a seed break them, so there is no run with the rule on to compare with.
var brokenBySurroundings = map[failpoint.Rule]bool{failpoint.L1: true, failpoint.L2: true, failpoint.L3: true,
	failpoint.L4: true, failpoint.C9: true}

// TestEveryRuleIsCaught turns off one rule after the other and expects that a seed fails.
func TestEveryRuleIsCaught(t *testing.T) {
	titles := ruleTitles(t)
	var table strings.Builder
	caught := 0
	for _, r := range rules {
		if *only != "" && string(r.rule) != *only {
			continue
		}
		title := titles[r.rule]
		needed, err := catchRule(t, r.rule, r.surroundings)
		if needed == 0 {
			t.Errorf("rule %s (%s) is turned off, but all %d seeds hold", r.rule, title, *tries)
			fmt.Fprintf(&table, "| %s | %s | %s | not within %d seeds |\n", r.rule, title, r.change, *tries)
			continue
		}
		caught++
		t.Logf("rule %s is caught after %d seeds: %.160s", r.rule, needed, err)
		fmt.Fprintf(&table, "| %s | %s | %s | %d |\n", r.rule, title, r.change, needed)
	}
	if *proof && *only == "" {
		writeProof(t, caught, table.String())
	}
}

const protocolFile = "../../../schemas/PROTOCOL.md"

// ruleTitles returns the headings of the rules in the protocol.
func ruleTitles(t *testing.T) map[failpoint.Rule]string {
	raw, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	titles := map[failpoint.Rule]string{}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+) — (.+)$`).FindAllStringSubmatch(string(raw), -1) {
		titles[failpoint.Rule(m[1])] = m[2]
	}
	for _, r := range rules {
		if titles[r.rule] == "" {
			t.Fatalf("%s has no heading for rule %s", protocolFile, r.rule)
		}
	}
	return titles
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
		t.Fatalf("%s lacks the markers of the generated part", proofFile)
	}
	text := fmt.Sprintf("Rules caught: %d of %d, each within at most %d seeds.\n\n"+
		"| rule | what it says | what happens instead when it is off | seeds until it is caught |\n"+
		"|---|---|---|---|\n%s",
		caught, len(rules), *tries, table)
	if err := os.WriteFile(proofFile, []byte(before+proofBegin+text+proofEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
