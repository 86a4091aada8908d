package realtime

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
)

// shards is the number of parts of a window's index. Only one part grows at a time, so growing stops
// the partition for a millisecond instead of a second and never needs twice the memory.
const shards = 256

// idWindow remembers the identities of the last messages (D2). A ring holds them in the order of
// admission, and an index of 8 bytes a slot finds them by hash. To forget an entry is to move the
// ring's start; its slot is dropped when its shard is rebuilt. A map of 16-byte keys needs a third
// more memory, cannot forget the oldest entry, and cannot be saved while it changes.
type idWindow struct {
	bucket  time.Duration
	span    time.Duration
	limit   int64
	seed    uint64
	ring    ring
	marks   []segmentMark
	shards  [shards]shard
	dropped uint64 // entries forgotten early, because of the limit
	warmed  uint64 // has no meaning; it keeps the compiler from removing warm's reads
}

// segmentMark says where a segment begins in the ring. The last mark is that of the open segment.
type segmentMark struct {
	start    uint64 // sequence of the segment's first message
	first    uint64 // number of its first entry in the ring
	appended int64  // newest append time in the segment, in microseconds; 0 before the first message
}

// maxSegmentMarks bounds the number of marks in a window: 45 days with a segment every half minute.
const maxSegmentMarks = 1 << 17

// shard is one part of the index. It uses open addressing with linear probing over slots of
// tag<<32 | low half of the entry's number; 0 is an empty slot. A tag is odd, so it is not 0. A higher tag
// never has a lower home, so that a rebuild reads and writes in order.
type shard struct {
	slots []uint64
	used  int // number of filled slots, those of forgotten entries included
}

func newIDWindow(c Config, bucket time.Duration, start uint64) *idWindow {
	return &idWindow{bucket: bucket, span: c.Window, limit: c.WindowEntries, seed: rand.Uint64(),
		ring:  ring{lineage: rand.Uint64()},
		marks: []segmentMark{{start: start}}}
}

// place returns the shard and the tag of an identity. The seed is random, so that clients cannot
// choose ids that fill one shard.
func (w *idWindow) place(id identity) (*shard, uint32) {
	hi, lo := bits.Mul64(id.low^w.seed, id.high|1)
	h := (hi ^ lo ^ w.seed) * 0x9e3779b97f4a7c15
	return &w.shards[byte(h>>24)], uint32(h>>32) | 1
}

// home returns the slot at which the search for a tag begins.
func (s *shard) home(tag uint32) int { return int(uint64(tag) * uint64(len(s.slots)) >> 32) }

// find returns the slot that holds id, or the empty slot where it belongs.
func (w *idWindow) find(s *shard, tag uint32, id identity) (at int, found bool) {
	for i := s.home(tag); ; {
		e := s.slots[i]
		if e == 0 {
			return i, false
		}
		if uint32(e>>32) == tag && w.ring.holds(uint32(e), id) {
			return i, true
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

func (w *idWindow) contains(id identity) bool {
	s, tag := w.place(id)
	if s.used == 0 {
		return false
	}
	_, found := w.find(s, tag, id)
	return found
}

// claim marks id as seen and reports whether it was not seen before.
func (w *idWindow) claim(id identity) bool {
	s, tag := w.place(id)
	if s.full() {
		w.rebuildShard(s)
	}
	i, found := w.find(s, tag, id)
	if found {
		return false
	}
	s.slots[i] = uint64(tag)<<32 | uint64(uint32(w.ring.end))
	s.used++
	w.ring.append(id)
	return true
}

// smallShard is the number of entries up to which a shard doubles. A window of a million entries grows so; in a larger
// one the memory of empty slots counts more than the time to fill them again, and a shard grows by a quarter.
const smallShard = 1 << 12

// rebuildShard drops the slots of forgotten entries and makes room for more entries.
func (w *idWindow) rebuildShard(s *shard) {
	live := 0
	for _, e := range s.slots {
		if e != 0 && w.ring.remembers(uint32(e)) {
			live++
		}
	}
	fill := 64 // in percent, just after the rebuild
	if live < smallShard {
		fill = 40
	}
	old := s.slots
	s.slots = make([]uint64, max(minSlots, live*100/fill))
	s.used = 0
	for _, e := range old {
		if e != 0 && w.ring.remembers(uint32(e)) {
			s.insert(e)
		}
	}
}

// buildIndex makes the index from the ring.
func (w *idWindow) buildIndex() {
	for i := range w.shards {
		w.shards[i] = shard{slots: make([]uint64, max(minSlots, w.ring.len()/shards*100/70))}
	}
	for n := w.ring.first; n < w.ring.end; n++ {
		s, tag := w.place(*w.ring.entry(n))
		if s.full() {
			w.rebuildShard(s)
		}
		s.insert(uint64(tag)<<32 | uint64(uint32(n)))
	}
}

// full reports whether one more entry would fill more than four fifths of the shard.
func (s *shard) full() bool { return 5*(s.used+1) > 4*len(s.slots) }

func (s *shard) insert(e uint64) {
	i := s.home(uint32(e >> 32))
	for s.slots[i] != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = e
	s.used++
}

// beginSegment adds the mark of the segment that begins with the message seq.
func (w *idWindow) beginSegment(seq uint64) {
	w.marks = append(w.marks, segmentMark{start: seq, first: w.ring.end})
}

// advance records the append time of a message, and forgets entries that are too old or too many.
func (w *idWindow) advance(appended int64) {
	last := &w.marks[len(w.marks)-1]
	last.appended = max(last.appended, appended)
	oldest := last.appended - w.span.Microseconds()
	n := 0
	for n < len(w.marks)-1 && (w.marks[n].appended < oldest || len(w.marks)-n > maxSegmentMarks) {
		n++
	}
	first := max(w.marks[n].first, w.ring.first)
	if over := w.ring.end - first; over > uint64(w.limit) {
		w.dropped += over - uint64(w.limit)
		first = w.ring.end - uint64(w.limit)
	}
	for n < len(w.marks)-1 && w.marks[n+1].first <= first {
		n++
	}
	w.marks = w.marks[n:]
	w.ring.forget(first)
}

// frozenWindow is the window at a segment boundary, for a snapshot.
type frozenWindow struct {
	ring  ring
	marks []segmentMark
}

// freeze returns the window as it is now. It copies only the lists of chunks and marks, because
// entries never change.
func (w *idWindow) freeze() frozenWindow {
	s := frozenWindow{ring: w.ring, marks: slices.Clone(w.marks)}
	s.ring.chunks = slices.Clone(w.ring.chunks)
	return s
}

// windowTotals describe a window.
type windowTotals struct {
	entries int
	bytes   int64
	dropped uint64
	reach   time.Duration // how far back the window remembers, by the append times of the messages
}

func (w *idWindow) totals() windowTotals {
	t := windowTotals{entries: w.ring.len(), bytes: int64(len(w.ring.chunks)) * chunkSize * 16, dropped: w.dropped}
	for i := range w.shards {
		t.bytes += int64(8 * len(w.shards[i].slots))
	}
	oldest := w.marks[0].appended
	newest := w.marks[len(w.marks)-1].appended
	if oldest != 0 && newest != 0 {
		t.reach = time.Duration(newest-oldest) * time.Microsecond
	}
	return t
}
