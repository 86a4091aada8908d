package realtime

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/eventbatch"
	"recount/schemas/window"
)

// identity is a key mixed with its event type, its bucket, and whether the time was assigned (I2, I3).
// The type is in it because the batch view removes duplicates one event type at a time. Within a type,
// each half of a bucket's mask is a bijection of the bucket, so a key has a different identity in
// each bucket. Two keys share an identity with the probability 2^-128.
type identity struct{ low, high uint64 }

// The four constants make the masks of a bucket. They must not change, because the identities in
// snapshots depend on them.
const (
	maskPlainA    = 0x243f6a8885a308d3
	maskPlainB    = 0x13198a2e03707344
	maskAssignedA = 0xa4093822299f31d0
	maskAssignedB = 0x082efa98ec4e6c89
)

func plainMask(bucket int64) identity {
	return identity{mix(uint64(bucket) ^ maskPlainA), mix(uint64(bucket) ^ maskPlainB)}
}

func assignedMask(bucket int64) identity {
	return identity{mix(uint64(bucket) ^ maskAssignedA), mix(uint64(bucket) ^ maskAssignedB)}
}

// apply returns the identity of a key under the mask m.
func (m identity) apply(key []byte) identity {
	return identity{binary.LittleEndian.Uint64(key) ^ m.low, binary.LittleEndian.Uint64(key[8:]) ^ m.high}
}

func typeMask(name string) identity {
	h := xxhash.Sum64String(name)
	return identity{h, mix(h + 1)}
}

func (m identity) combine(o identity) identity { return identity{m.low ^ o.low, m.high ^ o.high} }

// masks holds the masks of one bucket. Consecutive events are usually in the same bucket.
type masks struct {
	width                         time.Duration
	eventType                     identity
	bucket, end                   int64
	plain, assigned               identity
	assignedBefore, assignedAfter identity
}

// moveTo makes m the masks of the bucket that contains the time at.
func (m *masks) moveTo(at int64) {
	if at >= m.bucket && at < m.end {
		return
	}
	m.bucket = window.Floor(at, m.width)
	m.end = m.bucket + m.width.Microseconds()
	m.plain = plainMask(m.bucket).combine(m.eventType)
	m.assigned = assignedMask(m.bucket).combine(m.eventType)
	m.assignedBefore = assignedMask(m.bucket - m.width.Microseconds()).combine(m.eventType)
	m.assignedAfter = assignedMask(m.bucket + m.width.Microseconds()).combine(m.eventType)
}

// admit marks the events of a batch of one type as seen, and appends those that are not duplicates
// (I2, I3) to selected. The caller must count them (D2). A dropped copy is marked too, so that a chain of
// retries counts as one event.
func (w *idWindow) admit(eventType string, c eventbatch.Columns, selected []int32) []int32 {
	m := masks{width: w.bucket, eventType: typeMask(eventType)}
	times := c.Time.TimestampValues()
	flags := c.Flags.Uint8Values()
	for i, at := range times {
		if i%warmAhead == 0 {
			w.warm(&m, c, i, min(i+warmAhead, len(times)))
		}
		m.moveTo(int64(at))
		key := c.Key.Value(i)
		first := w.claim(m.plain.apply(key))
		if flags[i]&eventbatch.FlagTimeAssigned != 0 {
			first = first && !w.contains(m.assignedBefore.apply(key)) && !w.contains(m.assignedAfter.apply(key))
			w.claim(m.assigned.apply(key))
		}
		if first {
			selected = append(selected, int32(i))
		}
	}
	return selected
}

// warmAhead is how many events are warmed together.
const warmAhead = 32

// warm reads the slots at which the search for the events [from, to) will begin. These reads do not
// depend on each other, so the processor waits for memory once for several of them. Without warm,
// claim waits for each read.
func (w *idWindow) warm(m *masks, c eventbatch.Columns, from, to int) {
	for i := from; i < to; i++ {
		m.moveTo(int64(c.Time.Value(i)))
		if s, tag := w.place(m.plain.apply(c.Key.Value(i))); s.used > 0 {
			w.warmed ^= s.slots[s.home(tag)]
		}
	}
}
