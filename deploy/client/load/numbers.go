package load

import "math"

// span is a range of event numbers.
type span struct{ first, count int64 }

// numbers computes which events a request of the schedule holds. Events are numbered in the order in which requests
// first send them, so no number is left out.
type numbers struct {
	batch      int64
	duplicates float64
	lag        int64 // lag is the number of requests between an event and its copy.
}

// copiesBefore returns how many copies the requests before n hold.
func (s numbers) copiesBefore(n int64) int64 {
	return int64(math.Floor(float64(n*s.batch) * s.duplicates))
}

// first returns the number of the first new event of request n.
func (s numbers) first(n int64) int64 { return n*s.batch - s.copiesBefore(n) }

// request returns the new events of request n, and the copies that follow them. The copies in the first requests are of
// the first events of the run.
func (s numbers) request(n int64) (fresh, copies span) {
	fresh = span{s.first(n), s.first(n+1) - s.first(n)}
	copies = span{s.first(max(0, n-s.lag)), s.copiesBefore(n+1) - s.copiesBefore(n)}
	return fresh, copies
}

// mix is the finalizer of SplitMix64, which spreads the bits of x over the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw returns the random bits of event i for a purpose.
func draw(seed uint64, i int64, purpose uint64) uint64 {
	return mix(mix(seed^purpose*0xd6e8feb86659fd93) ^ uint64(i))
}

// unit maps random bits to [0, 1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// zipf draws keys 0 to n-1 with weights 1/(key+1)^skew. It maps given random bits, so the key of an event depends only
// on its number. The generator of the standard library needs a skew above 1 and its own source of random bits.
type zipf struct {
	cumulated []float64 // cumulated has for each key the sum of the weights up to it.
}

func newZipf(n int, skew float64) zipf {
	z := zipf{make([]float64, n)}
	sum := 0.0
	for k := range z.cumulated {
		sum += math.Pow(float64(k+1), -skew)
		z.cumulated[k] = sum
	}
	return z
}

// key returns the first key whose cumulated weight exceeds the drawn one.
func (z zipf) key(bits uint64) int {
	n := len(z.cumulated)
	want := unit(bits) * z.cumulated[n-1]
	low := 0
	high := n - 1
	for low < high {
		if middle := (low + high) / 2; z.cumulated[middle] > want {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}
