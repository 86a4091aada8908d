package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"
)

// sampleFlights returns n flights, five seconds apart.
func sampleFlights(n int) *Flights {
	f := &Flights{airports: []string{"ORD", "ATL", "SFO"}}
	for i := range n {
		f.date = append(f.date, 978307200_000000+int64(i)*5_000000)
		f.delay = append(f.delay, int16(i%90-10))
		f.distance = append(f.distance, int16(i%3000))
		f.origin = append(f.origin, uint16(i%3))
		f.destination = append(f.destination, uint16((i+1)%3))
	}
	return f
}

// replayAll returns everything that a replay sends, in requests of a size.
func replayAll(f *Flights, seed uint64, batch int) ([]byte, *replay) {
	r := newReplay(f, seed)
	var all []byte
	for {
		dst, n := r.batch(nil, batch)
		if n == 0 {
			return all, r
		}
		all = append(all, dst...)
	}
}

// TestReplayIsAFunctionOfItsSeed checks that the same seed sends the same events, for any size of requests.
func TestReplayIsAFunctionOfItsSeed(t *testing.T) {
	t.Parallel()
	f := sampleFlights(30_000)
	a, _ := replayAll(f, 7, 1000)
	b, _ := replayAll(f, 7, 333)
	c, _ := replayAll(f, 8, 1000)
	if !bytes.Equal(a, b) {
		t.Error("the same seed sent different events")
	}
	if bytes.Equal(a, c) {
		t.Error("another seed sent the same events")
	}
}

// TestReplaySendsEveryFlight checks that every flight is sent, that the replay counts the copies it sends, and that
// late, duplicate and malformed events have their shares.
func TestReplaySendsEveryFlight(t *testing.T) {
	t.Parallel()
	const n = 50_000
	f := sampleFlights(n)
	all, r := replayAll(f, 1, 1000)
	copies := map[string]int{}
	broken := 0
	lines := 0
	for line := range bytes.Lines(all) {
		lines++
		var e struct {
			ID   string
			Data map[string]any
		}
		if json.Unmarshal(line, &e) != nil || !bytes.HasPrefix([]byte(e.ID), []byte("flight-")) {
			broken++
			continue
		}
		copies[e.ID]++
	}
	for i := range n {
		if copies[fmt.Sprintf("flight-%d", i)] == 0 {
			t.Fatalf("flight %d was not sent", i)
		}
	}
	if lines != r.sent || broken != r.malformed || lines-broken-n != r.duplicates {
		t.Errorf("%d lines, %d broken, %d copies; the replay counted %d, %d, %d", lines, broken, lines-broken-n, r.sent,
			r.malformed, r.duplicates)
	}
	for name, c := range map[string]struct {
		got   int
		share float64
	}{"late": {r.late, lateShare}, "copies": {r.duplicates, duplicateShare}, "broken": {r.malformed, malformedShare}} {
		want := c.share * n
		if math.Abs(float64(c.got)-want) > 6*math.Sqrt(want) {
			t.Errorf("%s: %d of %d flights, want about %.0f", name, c.got, n, want)
		}
	}
}
