package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// report counts what was done and what came of it.
type report struct {
	seed uint64

	mu       sync.Mutex
	rounds   int
	failed   int
	left     map[string]string // rounds that could not be played, and why
	random   int               // kills at random moments
	atPoint  map[string]int    // kills by failpoint
	unmet    map[string]int    // failpoints that were waited for in vain
	pauses   int
	faults   map[string]int
	acks     int64
	retries  int64
	lost     int64
	double   int64
	verifies int
	recovery []time.Duration
}

func newReport(seed uint64) *report {
	return &report{seed: seed, left: map[string]string{}, atPoint: map[string]int{}, unmet: map[string]int{},
		faults: map[string]int{}}
}

func (r *report) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *report) skipped(round, why string) { r.note(func() { r.left[round] = why }) }
func (r *report) pause()                    { r.note(func() { r.pauses++ }) }
func (r *report) killedAtRandom()           { r.note(func() { r.random++ }) }
func (r *report) killedAt(point string)     { r.note(func() { r.atPoint[point]++ }) }
func (r *report) notReached(point string)   { r.note(func() { r.unmet[point]++ }) }
func (r *report) fault(kind string)         { r.note(func() { r.faults[kind]++ }) }
func (r *report) load(acks, retries int64) {
	r.note(func() {
		r.acks += acks
		r.retries += retries
	})
}
func (r *report) recovered(d time.Duration) { r.note(func() { r.recovery = append(r.recovery, d) }) }
func (r *report) verified()                 { r.note(func() { r.verifies++ }) }
func (r *report) wrong(d *difference) {
	r.note(func() {
		r.lost += d.lost
		r.double += d.double
	})
}

// missed are the failpoints that no server was killed at.
func (r *report) missed() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(passes)) {
		if r.atPoint[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// print prints the table.
func (r *report) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-28s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "\nTorture, seed %d\n", r.seed)
	row("rounds", "%d, failed %d", r.rounds, r.failed)
	for _, name := range slices.Sorted(maps.Keys(r.left)) {
		row("  left out: "+name, "%s", r.left[name])
	}
	points := 0
	for _, n := range r.atPoint {
		points += n
	}
	row("kills", "%d: %d at random, %d at %d of %d failpoints", r.random+points, r.random, points, len(r.atPoint),
		len(passes))
	for _, name := range slices.Sorted(maps.Keys(r.unmet)) {
		row("  waited for in vain", "%s, %d times", name, r.unmet[name])
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
	if n := len(r.recovery); n > 0 {
		slices.Sort(r.recovery)
		row("kill to answer", "p50 %s, max %s, of %d", r.recovery[n/2].Round(time.Millisecond),
			r.recovery[n-1].Round(time.Millisecond), n)
	}
}

func (r *report) round(err error) {
	r.note(func() {
		if r.rounds++; err != nil {
			r.failed++
		}
	})
}
