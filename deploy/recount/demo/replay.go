package demo

import (
	"math/rand/v2"
)

// replay turns flights into the order a careless world would deliver them in: most
// in order of time, some hours late, some twice, some broken. It is a pure function
// of its seed.
type replay struct {
	flights *flights
	rng     *rand.Rand
	next    int           // next flight in order of time
	held    map[int][]int // flights to send when next reaches the key: late ones and second copies

	sent, late, duplicates, malformed int
}

// The shares of what goes wrong, and how far behind late events and copies come, in flights.
const (
	lateShare      = 0.02
	duplicateShare = 0.01
	malformedShare = 0.001
	minBehind      = 3_000 // about four hours of departures
	maxBehind      = 60_000
)

func newReplay(f *flights, seed uint64) *replay {
	return &replay{flights: f, rng: rand.New(rand.NewPCG(seed, 1)), held: map[int][]int{}}
}

// malformed are events a server must refuse, each for another reason.
var malformed = []string{
	`{"specversion":"1.0","id":"broken-1","source":"flights-3m","type":"flight.departed","time":"2001-01-01T00:00:00Z","data":{"origin":"ORD","delay":"late"}}`,
	`{"specversion":"1.0","id":"broken-2","source":"flights-3m","type":"flight.vanished","time":"2001-01-01T00:00:00Z","data":{}}`,
	`{"specversion":"1.0","source":"flights-3m","type":"flight.departed","time":"2001-01-01T00:00:00Z","data":{"origin":"ORD"}}`,
	`{"specversion":"1.0","id":"broken-4","source":"flights-3m","type":"flight.departed","time":"yesterday","data":{"origin":"ORD"}}`,
	`{"specversion":"1.0","id":"broken-5","source":"flights-3m","type":"flight.departed","data":{"origin":"ORD"`,
}

// batch appends at least n events to dst as NDJSON, fewer only at the end, and
// returns how many lines it appended; 0 when everything has been sent.
func (r *replay) batch(dst []byte, n int) ([]byte, int) {
	lines := 0
	for lines < n && (r.next < r.flights.len() || len(r.held) > 0) {
		dst, lines = r.release(dst, lines)
		if r.next < r.flights.len() {
			dst, lines = r.step(dst, lines)
		}
		r.next++
	}
	r.sent += lines
	return dst, lines
}

// release sends what was held back until now.
func (r *replay) release(dst []byte, lines int) ([]byte, int) {
	for _, i := range r.held[r.next] {
		dst = r.flights.appendEvent(dst, i)
		lines++
	}
	delete(r.held, r.next)
	return dst, lines
}

// step sends the next flight, or holds it back, and sometimes its copy as well.
func (r *replay) step(dst []byte, lines int) ([]byte, int) {
	if r.rng.Float64() < malformedShare {
		dst = append(append(dst, malformed[r.malformed%len(malformed)]...), '\n')
		r.malformed++
		lines++
	}
	at := r.next
	if r.rng.Float64() < lateShare {
		at = r.hold(r.next)
		r.late++
	} else {
		dst = r.flights.appendEvent(dst, r.next)
		lines++
	}
	if r.rng.Float64() < duplicateShare {
		r.held[at+minBehind] = append(r.held[at+minBehind], r.next)
		r.duplicates++
	}
	return dst, lines
}

func (r *replay) hold(i int) int {
	at := i + minBehind + r.rng.IntN(maxBehind-minBehind)
	r.held[at] = append(r.held[at], i)
	return at
}

// total estimates the number of lines, for the progress bar.
func (r *replay) total() int {
	return int(float64(r.flights.len()) * (1 + duplicateShare + malformedShare))
}
