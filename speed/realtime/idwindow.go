package realtime

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
)

// shards divide the index of a window, so that growing it stops the partition for a
// millisecond instead of a second and never needs twice the memory.
const shards = 256

// idWindow remembers the identities of the last messages (D2). A ring holds them in the
// order of admission; an index of 8 bytes a slot finds them by hash. Forgetting moves the
// ring's first entry and touches no slot: a slot whose entry is gone is dropped when
// its shard is next rebuilt. A map of 16-byte keys takes a third more, cannot forget the oldest, and
// cannot be written to a snapshot while it changes.
type idWindow struct {
	bucket  time.Duration
	span    time.Duration
	limit   int64
	seed    uint64
	ring    ring
	marks   []segmentMark
	shards  [shards]shard
	dropped uint64 // entries forgotten for the limit before their time
	warmed  uint64 // of no meaning; it keeps warm's reads from being optimized away
}

// mark says where a segment begins in the ring. The last is the open segment's.
type segmentMark struct {
	start    uint64 // sequence of the segment's first message
	first    uint64 // its first entry in the ring
	appended int64  // newest append time in it, microseconds; 0 before the first message
}

// maxMarks bounds the segments a window tells apart: 45 days of half minutes.
const maxSegmentMarks = 1 << 17

// shard is open addressing with linear probing over tag<<32 | low half of the entry's
// number; 0 is empty. A tag is odd, and its home grows with it, so rebuilding a shard
// reads and writes in order.
type shard struct {
	slots []uint64
	used  int // slots taken, those of forgotten entries included
}

func newIDWindow(c Config, bucket time.Duration, start uint64) *idWindow {
	return &idWindow{bucket: bucket, span: c.Window, limit: c.WindowEntries, seed: rand.Uint64(),
		marks: []segmentMark{{start: start}}}
}

// place returns the shard and the tag of an identity. The seed keeps clients from
// choosing ids that fill one shard.
func (w *idWindow) place(id identity) (*shard, uint32) {
	hi, lo := bits.Mul64(id.low^w.seed, id.high|1)
	h := (hi ^ lo ^ w.seed) * 0x9e3779b97f4a7c15
	return &w.shards[byte(h>>24)], uint32(h>>32) | 1
}

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

// claim marks id as seen and reports whether it was not.
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

// rebuild drops the slots of forgotten entries and leaves room for a quarter more.
func (w *idWindow) rebuildShard(s *shard) {
	live := 0
	for _, e := range s.slots {
		if e != 0 && w.ring.remembers(uint32(e)) {
			live++
		}
	}
	old := s.slots
	s.slots = make([]uint64, max(minSlots, live*100/64))
	s.used = 0
	for _, e := range old {
		if e != 0 && w.ring.remembers(uint32(e)) {
			s.insert(e)
		}
	}
}

// build makes the index anew from the ring.
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

// full reports whether another entry would take the shard past a load of four fifths.
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

// begin starts the marks of the segment that begins with the message seq.
func (w *idWindow) beginSegment(seq uint64) {
	w.marks = append(w.marks, segmentMark{start: seq, first: w.ring.end})
}

// advance accounts for a message appended at the time and forgets what is too old or too much.
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

// sealed is the window at a segment boundary, for a snapshot.
type frozenWindow struct {
	ring  ring
	marks []segmentMark
}

// seal returns the window as it is. Entries never change, so only the lists of chunks and marks are copied.
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
	reach   time.Duration // how far back it remembers, by the messages' append times
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
