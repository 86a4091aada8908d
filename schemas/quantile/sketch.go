package quantile

import (
	"iter"
	"slices"
)

// Sketch counts values by bin. The zero value is empty. It is not safe for concurrent use.
type Sketch struct {
	keys   []int16 // ascending
	counts []uint64
}

// Add adds n values of a bin.
func (s *Sketch) Add(key int16, n uint64) {
	last := len(s.keys) - 1
	if last < 0 || key > s.keys[last] { // Sketches are merged in the order of keys.
		s.keys = append(s.keys, key)
		s.counts = append(s.counts, n)
		return
	}
	i, found := slices.BinarySearch(s.keys, key)
	if found {
		s.counts[i] += n
		return
	}
	s.keys = slices.Insert(s.keys, i, key)
	s.counts = slices.Insert(s.counts, i, n)
}

// Merge adds the values of o, which is not changed and may be nil.
func (s *Sketch) Merge(o *Sketch) {
	if o == nil {
		return
	}
	if len(s.keys) == 0 {
		s.keys = append(s.keys, o.keys...)
		s.counts = append(s.counts, o.counts...)
		return
	}
	for i, key := range o.keys {
		s.Add(key, o.counts[i])
	}
}

// Bins returns the keys, ascending, and how many values each bin has.
func (s *Sketch) Bins() iter.Seq2[int16, uint64] {
	return func(yield func(int16, uint64) bool) {
		for i, key := range s.keys {
			if !yield(key, s.counts[i]) {
				return
			}
		}
	}
}

// Len returns how many bins have values. The sketch may be nil.
func (s *Sketch) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// Count returns how many values there are.
func (s *Sketch) Count() (n uint64) {
	for _, c := range s.counts {
		n += c
	}
	return n
}

// BinBytes is the memory of a bin.
const BinBytes = 2 + 8

// Bytes is the memory that the sketch holds, roughly.
func (s *Sketch) Bytes() int64 { return int64(48 + 2*cap(s.keys) + 8*cap(s.counts)) }

// Key returns the key of the bin in which the quantile is. The sketch must not be empty.
func (s *Sketch) Key(r Rank) int16 {
	rest := r.Place(s.Count())
	for i, n := range s.counts {
		if rest <= n {
			return s.keys[i]
		}
		rest -= n
	}
	return s.keys[len(s.keys)-1]
}
