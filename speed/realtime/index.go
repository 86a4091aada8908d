package realtime

// index finds ids by the hashes of their values. It uses open addressing over slots of hash<<32 | id;
// 0 is an empty slot, so ids begin at 1. Its owner holds the values and compares them. A slot
// holds all that growing needs, and no pointer.
type index struct {
	slots []uint64
	used  int
}

const minSlots = 16

// reserve makes room for one more slot. The owner calls it before a search that may end in insert.
func (x *index) reserve() {
	if 4*(x.used+1) > 3*len(x.slots) {
		x.grow(3 * len(x.slots) / 2)
	}
}

// grow makes room for n ids in all.
func (x *index) grow(n int) {
	size := minSlots
	for 3*size < 4*n {
		size *= 2
	}
	old := x.slots
	x.slots = make([]uint64, size)
	mask := uint32(len(x.slots) - 1)
	for _, e := range old {
		if e == 0 {
			continue
		}
		i := uint32(e>>32) & mask
		for x.slots[i] != 0 {
			i = (i + 1) & mask
		}
		x.slots[i] = e
	}
}

// insert fills the empty slot i, at which the search for hash ended.
func (x *index) insert(i, hash, id uint32) {
	x.slots[i] = uint64(hash)<<32 | uint64(id)
	x.used++
}

func (x *index) bytes() int64 { return int64(8 * len(x.slots)) }

// mix is the finalizer of SplitMix64, a bijection. It must not change, because the identities in
// snapshots depend on it.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
