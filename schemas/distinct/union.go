package distinct

import "slices"

// Union unites sketches and estimates how many values they hold together, one group after another. It
// counts registers by rank while they rise and remembers which rose, so a small group costs as many steps
// as it has registers, and not a walk over all of them. The zero value is empty. It is not safe for
// concurrent use.
type Union struct {
	ranks  [registers]uint8
	counts counts
	raised []uint16 // registers above 0
}

// Rank is the rank of the register that r names.
func (u *Union) Rank(r uint32) uint8 { return u.ranks[r>>8&(registers-1)] }

// Raise raises the register that r names to r's rank, unless it is there.
func (u *Union) Raise(r uint32) {
	i := r >> 8 & (registers - 1)
	rank := uint8(r)
	from := u.ranks[i]
	if rank <= from {
		return
	}
	if from == 0 {
		u.raised = append(u.raised, uint16(i))
	}
	u.counts.raise(from, rank)
	u.ranks[i] = rank
}

// Add unites with a sketch, which is not changed.
func (u *Union) Add(s *Sketch) {
	for _, h := range s.exact {
		u.Raise(Register(h))
	}
	for i, rank := range s.dense {
		u.Raise(uint32(i)<<8 | uint32(rank))
	}
}

// AppendRegisters appends the registers above 0 to dst, in the order in which they first rose.
func (u *Union) AppendRegisters(dst []uint32) []uint32 {
	dst = slices.Grow(dst, len(u.raised))
	for _, i := range u.raised {
		dst = append(dst, uint32(i)<<8|uint32(u.ranks[i]))
	}
	return dst
}

// Approximate estimates the number of distinct values, as Sketch.Approximate does.
func (u *Union) Approximate() uint64 { return u.counts.estimate() }

// Reset empties the union.
func (u *Union) Reset() {
	for _, i := range u.raised {
		u.ranks[i] = 0
	}
	u.counts = counts{}
	u.raised = u.raised[:0]
}
