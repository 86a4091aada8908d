package realtime

// index finds numbers by the hash of what they stand for: open addressing over slots of
// hash<<32 | id, in which 0 is empty, so ids begin with 1. The owner holds the values and
// compares them. A slot has all that growing needs, and none of it is a pointer.
type index struct {
	slots []uint64
	used  int
}

const minSlots = 16

// reserve makes room for one more; the owner calls it before a walk that may end in put.
func (x *index) reserve() {
	if 4*(x.used+1) <= 3*len(x.slots) {
		return
	}
	old := x.slots
	x.slots = make([]uint64, max(minSlots, 2*len(old)))
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

// put takes the empty slot i, where the walk for hash ended.
func (x *index) insert(i, hash, id uint32) {
	x.slots[i] = uint64(hash)<<32 | uint64(id)
	x.used++
}

func (x *index) bytes() int64 { return int64(8 * len(x.slots)) }

// mix is the finalizer of SplitMix64, a bijection. Identities in snapshots depend on it: it is frozen.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
