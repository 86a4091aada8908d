package demo

import (
	"math/rand/v2"
)

// replay turns flights into events as a real client would deliver them: most in order of time, some hours late, some
// twice, some malformed. It is a pure function of its seed.
type replay struct {
	flights *Flights
	rng     *rand.Rand
	next    int           // next is the next flight in order of time.
	held    map[int][]int // held are late flights and copies, by the value of next at which they are sent.

	sent, late, duplicates, malformed int
}

// The shares of late, duplicate and malformed events, and how many flights later the late events and copies are sent.
const (
	lateShare      = 0.02
	duplicateShare = 0.01
	malformedShare = 0.001
	minDelay       = 3_000 // about four hours of departures
	maxDelay       = 60_000
)

func newReplay(f *Flights, seed uint64) *replay {
	return &replay{flights: f, rng: rand.New(rand.NewPCG(seed, 1)), held: map[int][]int{}}
}

// malformed are events that a server must reject, each for another reason.
var malformed = []string{
	`{"specversion":"1.0","id":"broken-1","source":"flights-3m","type":"flight.departed",` +
		`"time":"2001-01-01T00:00:00Z","data":{"origin":"ORD","delay":"late"}}`,
	`{"specversion":"1.0","id":"broken-2","source":"flights-3m","type":"flight.vanished",` +
		`"time":"2001-01-01T00:00:00Z","data":{}}`,
	`{"specversion":"1.0","source":"flights-3m","type":"flight.departed",` +
		`"time":"2001-01-01T00:00:00Z","data":{"origin":"ORD"}}`,
	`{"specversion":"1.0","id":"broken-4","source":"flights-3m","type":"flight.departed",` +
		`"time":"yesterday","data":{"origin":"ORD"}}`,
	`{"specversion":"1.0","id":"broken-5","source":"flights-3m","type":"flight.departed","data":{"origin":"ORD"`,
}

// batch appends events to dst as NDJSON and returns how many. It appends at least n of them until the flights end, and
// 0 when all of them have been sent.
func (r *replay) batch(dst []byte, n int) ([]byte, int) {
	lines := 0
	for lines < n && (r.next < r.flights.Len() || len(r.held) > 0) {
		dst, lines = r.release(dst, lines)
		if r.next < r.flights.Len() {
			dst, lines = r.step(dst, lines)
		}
		r.next++
	}
	r.sent += lines
	return dst, lines
}

// release appends the events that were held back until now.
func (r *replay) release(dst []byte, lines int) ([]byte, int) {
	for _, i := range r.held[r.next] {
		dst = r.flights.AppendEvent(dst, i)
		lines++
	}
	delete(r.held, r.next)
	return dst, lines
}

// step appends the next flight or holds it back. For some flights it also holds back a copy.
func (r *replay) step(dst []byte, lines int) ([]byte, int) {
	if r.rng.Float64() < malformedShare {
		dst = append(append(dst, malformed[r.malformed%len(malformed)]...), '\n')
		r.malformed++
		lines++
	}
	sent := r.next
	if r.rng.Float64() < lateShare {
		sent = r.hold(r.next)
		r.late++
	} else {
		dst = r.flights.AppendEvent(dst, r.next)
		lines++
	}
	if r.rng.Float64() < duplicateShare {
		r.held[sent+minDelay] = append(r.held[sent+minDelay], r.next)
		r.duplicates++
	}
	return dst, lines
}

// hold holds flight i back and returns the value of next at which it is sent.
func (r *replay) hold(i int) int {
	until := i + minDelay + r.rng.IntN(maxDelay-minDelay)
	r.held[until] = append(r.held[until], i)
	return until
}

// total estimates the number of lines, for the progress bar.
func (r *replay) total() int {
	return int(float64(r.flights.Len()) * (1 + duplicateShare + malformedShare))
}
