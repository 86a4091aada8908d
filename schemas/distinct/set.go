package distinct

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// MaxHashes is the largest set whose hashes an answer keeps. They take no more memory than the registers of a larger
// set may take.
const MaxHashes = MaxRegisterBytes / 8

// Set is a set of the batch layer as an answer needs it: its hashes while there are at most MaxHashes, so that it can
// be united with another set exactly, and the registers of its sketch otherwise. It does not change. A nil set says
// that nobody asked for it.
type Set struct {
	hashes    string // each once, in any order, as AppendState has them
	registers []uint32
}

// SetOfHashes returns the set of hashes that AppendState wrote after their number. There may be at most MaxHashes.
func SetOfHashes(hashes string) *Set { return &Set{hashes: hashes} }

// SetOfRegisters returns the set of the registers of united sketches, in any order. A register may occur several times:
// the highest rank counts.
func SetOfRegisters(registers []uint32) *Set { return &Set{registers: registers} }

// SetOf returns the set of unique hashes.
func SetOf(hashes []uint64) *Set {
	if len(hashes) > MaxHashes {
		return SetOfRegisters(AppendRegisters(nil, hashes))
	}
	var raw []byte
	for _, h := range hashes {
		raw = binary.LittleEndian.AppendUint64(raw, h)
	}
	return SetOfHashes(string(raw))
}

// HasHashes reports whether the set is known hash by hash.
func (s *Set) HasHashes() bool { return s != nil && s.registers == nil }

// Bytes is the memory the set holds, roughly.
func (s *Set) Bytes() int64 {
	if s == nil {
		return 0
	}
	return int64(SetBytes + len(s.hashes) + 4*cap(s.registers))
}

// SetBytes is the memory of a set without its elements.
const SetBytes = 40

// hash returns the hash that begins at a byte of s.hashes.
func (s *Set) hash(at int) uint64 { return binary.LittleEndian.Uint64([]byte(s.hashes[at : at+8])) }

// AddSet unites with a set, which may be nil.
func (u *Union) AddSet(s *Set) {
	if s == nil {
		return
	}
	for at := 0; at < len(s.hashes); at += 8 {
		u.Raise(Register(s.hash(at)))
	}
	for _, r := range s.registers {
		u.Raise(r)
	}
}

// Overlap counts the hashes that two sets share, one pair after another. It looks up the hashes of the larger one in a
// table of the smaller one, so a pair costs as many steps as both have hashes. The zero value is ready. It is not safe
// for concurrent use.
type Overlap struct {
	slots []uint64 // 0 is free
	shift int
	// factor chooses slots. It is random, because whoever sends values could choose them so that all have one slot.
	factor  uint64
	hasZero bool
}

// Count returns how many hashes of the set a sketch has. The set must have its hashes, and the sketch must be exact.
func (o *Overlap) Count(s *Set, k *Sketch) (shared int) {
	o.fill(k.exact)
	for at := 0; at < len(s.hashes); at += 8 {
		if o.has(s.hash(at)) {
			shared++
		}
	}
	return shared
}

// fill makes a table of at least twice as many slots as there are hashes.
func (o *Overlap) fill(hashes []uint64) {
	if o.factor == 0 {
		o.factor = rand.Uint64() | 1
	}
	width := bits.Len(uint(2 * len(hashes)))
	o.shift = 64 - width
	if cap(o.slots) < 1<<width {
		o.slots = make([]uint64, 1<<width)
	}
	o.slots = o.slots[:1<<width]
	clear(o.slots)
	o.hasZero = false
	for _, h := range hashes {
		if h == 0 {
			o.hasZero = true
			continue
		}
		i := h * o.factor >> o.shift
		for o.slots[i] != 0 {
			i = (i + 1) & uint64(len(o.slots)-1)
		}
		o.slots[i] = h
	}
}

func (o *Overlap) has(hash uint64) bool {
	if hash == 0 {
		return o.hasZero
	}
	i := hash * o.factor >> o.shift
	for o.slots[i] != 0 {
		if o.slots[i] == hash {
			return true
		}
		i = (i + 1) & uint64(len(o.slots)-1)
	}
	return false
}
