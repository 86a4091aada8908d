// Package distinct counts distinct values, exactly while there are few and by a
// HyperLogLog sketch from then on. Both layers hash values here, so their sets and
// sketches can be merged.
//
// A register set travels as integers index<<8 | rank. That form, unlike a sketch's
// own serialization, lets ClickHouse unite sketches with groupUniqArrayArray. An exact set
// travels as a state of ClickHouse's uniqExact (AppendState).
package distinct

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// Precision is the number of index bits: 16,384 registers, standard error 0.81 %.
	Precision = 14
	registers = 1 << Precision
	// MaxRegisterBytes is the most bytes that the registers of a set take.
	MaxRegisterBytes = 4 * registers
	// ExactLimit is the largest set that is kept exactly.
	ExactLimit = 1024
	// StandardError is the relative standard error of an estimate.
	StandardError = 1.04 / 128
)

// HashString hashes a string value. Values of one field have one type, so hashes
// of different types need not differ.
func HashString(s string) uint64 { return xxhash.Sum64String(s) }

// HashInt64 hashes an int64, a bool as 0 or 1, or a timestamp in microseconds.
func HashInt64(v int64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(v))
	return xxhash.Sum64(b[:])
}

// HashFloat64 hashes a float64; -0 and 0 are one value.
func HashFloat64(v float64) uint64 {
	if v == 0 {
		v = 0
	}
	return HashInt64(int64(math.Float64bits(v + 0)))
}

// Register returns the register a hash falls in and its rank, as index<<8 | rank.
func Register(hash uint64) uint32 {
	index := uint32(hash >> (64 - Precision))
	rank := bits.LeadingZeros64(hash<<Precision|1<<(Precision-1)) + 1
	return index<<8 | uint32(rank)
}

// Sketch is a set of hashes: exact up to ExactLimit, HyperLogLog registers beyond.
// The zero value is empty. It is not safe for concurrent use.
type Sketch struct {
	exact []uint64 // unsorted, unique
	index map[uint64]struct{}
	dense []uint8 // ranks by register; nil while exact
}

// smallSet is how many hashes are found by a walk instead of a map.
const smallSet = 16

// Add adds one hash.
func (s *Sketch) Add(hash uint64) {
	if s.dense != nil {
		s.raise(Register(hash))
		return
	}
	if s.has(hash) {
		return
	}
	if len(s.exact) == ExactLimit {
		s.AddRegister(Register(hash))
		return
	}
	s.exact = append(s.exact, hash)
	if s.index != nil {
		s.index[hash] = struct{}{}
	} else if len(s.exact) > smallSet {
		s.index = make(map[uint64]struct{}, 2*smallSet)
		for _, h := range s.exact {
			s.index[h] = struct{}{}
		}
	}
}

func (s *Sketch) has(hash uint64) bool {
	if s.index != nil {
		_, ok := s.index[hash]
		return ok
	}
	return slices.Contains(s.exact, hash)
}

// AddRegister raises one register, as read from another sketch. The set is no
// longer exact afterwards.
func (s *Sketch) AddRegister(r uint32) {
	if s.dense == nil {
		s.dense = make([]uint8, registers)
		for _, h := range s.exact {
			s.raise(Register(h))
		}
		s.exact = nil
		s.index = nil
	}
	s.raise(r)
}

func (s *Sketch) raise(r uint32) {
	i := r >> 8 & (registers - 1)
	rank := uint8(r)
	if rank > s.dense[i] {
		s.dense[i] = rank
	}
}

// Merge adds every element of o; o is not changed.
func (s *Sketch) Merge(o *Sketch) {
	for _, h := range o.exact {
		s.Add(h)
	}
	for i, rank := range o.dense {
		if rank > 0 {
			s.AddRegister(uint32(i)<<8 | uint32(rank))
		}
	}
}

// Hashes returns the set's hashes while it is exact, else nil. The caller must not change them.
func (s *Sketch) Hashes() []uint64 { return s.exact }

// Exact reports whether the set is exact.
func (s *Sketch) Exact() bool { return s.dense == nil }

// Registers returns the non-empty registers in ascending order.
func (s *Sketch) Registers() []uint32 {
	if s.dense != nil {
		var out []uint32
		for i, rank := range s.dense {
			if rank > 0 {
				out = append(out, uint32(i)<<8|uint32(rank))
			}
		}
		return out
	}
	return AppendRegisters(nil, s.exact)
}

// AppendRegisters appends the registers of a set of hashes to dst: ascending, one
// entry a register. Ascending hashes have ascending registers and need no sort.
func AppendRegisters(dst []uint32, hashes []uint64) []uint32 {
	start := len(dst)
	for _, h := range hashes {
		dst = appendRegister(dst, start, Register(h))
	}
	if slices.IsSorted(dst[start:]) {
		return dst
	}
	slices.Sort(dst[start:])
	out := dst[:start]
	for _, r := range dst[start:] {
		out = appendRegister(out, start, r)
	}
	return out
}

// appendRegister appends a register to dst, or raises the last one if it is the same and not before start.
func appendRegister(dst []uint32, start int, r uint32) []uint32 {
	if n := len(dst) - 1; n >= start && dst[n]>>8 == r>>8 {
		dst[n] = max(dst[n], r)
		return dst
	}
	return append(dst, r)
}

// Bytes is the memory the sketch holds, roughly.
func (s *Sketch) Bytes() int64 { return int64(56 + cap(s.dense) + 8*cap(s.exact) + 40*len(s.index)) }

// Estimate returns the number of distinct values: exact while the set is.
func (s *Sketch) Estimate() uint64 {
	if s.dense == nil {
		return uint64(len(s.exact))
	}
	return s.Approximate()
}

// Approximate estimates from registers even where the set is exact, so that two
// estimates that are subtracted have the same error. It is the estimator of Otmar Ertl, "New
// cardinality estimation algorithms for HyperLogLog sketches" (2017), section 2: no bias
// tables and no switch between ranges.
func (s *Sketch) Approximate() uint64 {
	var c counts
	if s.dense == nil {
		for _, r := range AppendRegisters(nil, s.exact) {
			c.raise(0, uint8(r))
		}
	}
	for _, rank := range s.dense {
		if rank > 0 {
			c.raise(0, rank)
		}
	}
	return c.estimate()
}

// highest is the highest rank that a hash can have.
const highest = 64 - Precision + 1

// counts are how many registers have each rank but 0, which all others have.
type counts [highest + 1]int32

// raise moves a register from one rank to another.
func (c *counts) raise(from, to uint8) {
	if from > 0 {
		c[min(from, highest)]--
	}
	c[min(to, highest)]++
}

func (c *counts) estimate() uint64 {
	empty := registers
	for _, n := range c[1:] {
		empty -= int(n)
	}
	z := registers * tau(1-float64(c[highest])/registers)
	for k := highest - 1; k >= 1; k-- {
		z = 0.5 * (z + float64(c[k]))
	}
	z += registers * sigma(float64(empty)/registers)
	return uint64(math.Round(registers * registers / (2 * math.Ln2 * z)))
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	for y, z := 1.0, x; ; y += y {
		x *= x
		last := z
		if z += x * y; z == last {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	for y, z := 1.0, 1-x; ; {
		x = math.Sqrt(x)
		y *= 0.5
		last := z
		if z -= (1 - x) * (1 - x) * y; z == last {
			return z / 3
		}
	}
}
