package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// report counts the rounds, the injected faults and their results.
type report struct {
	seed uint64

	mu          sync.Mutex
	rounds      int
	failed      int
	skips       map[string]string // skips holds the reason for each round that was not played.
	randomKills int               // randomKills counts kills at random moments.
	pointKills  map[string]int    // pointKills counts kills by failpoint.
	unreached   map[string]int    // unreached counts, by failpoint, servers that did not reach it.
	pauses      int
	faults      map[string]int // faults counts injected faults by kind.
	acks        int64
	retries     int64
	lost        int64
	double      int64
	verifies    int
	recoveries  []time.Duration // recoveries are the times from a kill to the next answer.
}

func newReport(seed uint64) *report {
	return &report{seed: seed, skips: map[string]string{}, pointKills: map[string]int{},
		unreached: map[string]int{}, faults: map[string]int{}}
}

// update calls f with the lock held.
func (r *report) update(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *report) skipped(round, reason string) { r.update(func() { r.skips[round] = reason }) }
func (r *report) pause()                       { r.update(func() { r.pauses++ }) }
func (r *report) killedAtRandom()              { r.update(func() { r.randomKills++ }) }
func (r *report) killedAt(point string)        { r.update(func() { r.pointKills[point]++ }) }
func (r *report) notReached(point string)      { r.update(func() { r.unreached[point]++ }) }
func (r *report) fault(kind string)            { r.update(func() { r.faults[kind]++ }) }
func (r *report) load(acks, retries int64) {
	r.update(func() {
		r.acks += acks
		r.retries += retries
	})
}
func (r *report) recovered(d time.Duration) {
	r.update(func() { r.recoveries = append(r.recoveries, d) })
}
func (r *report) verified() { r.update(func() { r.verifies++ }) }
func (r *report) wrong(d *difference) {
	r.update(func() {
		r.lost += d.lost
		r.double += d.double
	})
}

// missedPoints returns the failpoints at which no server was killed.
func (r *report) missedPoints() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(passes)) {
		if r.pointKills[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// print prints the report as a table.
func (r *report) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-28s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "\nTorture, seed %d\n", r.seed)
	row("rounds", "%d, failed %d", r.rounds, r.failed)
	for _, name := range slices.Sorted(maps.Keys(r.skips)) {
		row("  skipped: "+name, "%s", r.skips[name])
	}
	points := 0
	for _, n := range r.pointKills {
		points += n
	}
	row("kills", "%d: %d at random, %d at %d of %d failpoints", r.randomKills+points, r.randomKills, points,
		len(r.pointKills), len(passes))
	for _, name := range slices.Sorted(maps.Keys(r.unreached)) {
		row("  not reached", "%s, %d times", name, r.unreached[name])
	}
	row("pauses", "%d", r.pauses)
	for _, kind := range slices.Sorted(maps.Keys(r.faults)) {
		row("  "+kind, "%d", r.faults[kind])
	}
	row("acknowledged events", "%d", r.acks)
	row("requests sent again", "%d", r.retries)
	row("lost", "%d", r.lost)
	row("counted twice", "%d", r.double)
	row("verified", "%d rounds", r.verifies)
	if n := len(r.recoveries); n > 0 {
		slices.Sort(r.recoveries)
		row("kill to answer", "p50 %s, max %s, of %d", r.recoveries[n/2].Round(time.Millisecond),
			r.recoveries[n-1].Round(time.Millisecond), n)
	}
}

func (r *report) round(err error) {
	r.update(func() {
		if r.rounds++; err != nil {
			r.failed++
		}
	})
}
