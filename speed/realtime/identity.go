package realtime

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/eventbatch"
	"recount/schemas/window"
)

// identity is a key mixed with its event type and with what it was seen as: within a
// bucket (I2), or with an assigned time within a bucket (I3). The type is in it because the
// batch view removes duplicates one event type at a time. Within a type the mask of a bucket is a bijection
// of the bucket in either half, so one key never has one identity twice; two keys share
// one with the probability 2^-128.
type identity struct{ low, high uint64 }

// The four constants make the masks of a bucket; they are frozen in snapshots.
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

func (m identity) apply(key []byte) identity {
	return identity{binary.LittleEndian.Uint64(key) ^ m.low, binary.LittleEndian.Uint64(key[8:]) ^ m.high}
}

func typeMask(name string) identity {
	h := xxhash.Sum64String(name)
	return identity{h, mix(h + 1)}
}

func (m identity) combine(o identity) identity { return identity{m.low ^ o.low, m.high ^ o.high} }

// masks are those of the bucket an event lies in. Neighbouring events mostly share one.
type masks struct {
	width                           time.Duration
	eventType                       identity
	bucket, end                     int64
	plain, assigned, assignedBefore identity
}

func (m *masks) moveTo(at int64) {
	if at >= m.bucket && at < m.end {
		return
	}
	m.bucket = window.Floor(at, m.width)
	m.end = m.bucket + m.width.Microseconds()
	m.plain = plainMask(m.bucket).combine(m.eventType)
	m.assigned = assignedMask(m.bucket).combine(m.eventType)
	m.assignedBefore = assignedMask(m.bucket - m.width.Microseconds()).combine(m.eventType)
}

// admit marks the events of a batch of one type as seen and appends to sel those that are no
// duplicates (I2, I3). It must be followed by counting them (D2). A copy that is dropped
// is marked like any other, so that a chain of retries is one event.
func (w *idWindow) admit(eventType string, c eventbatch.Columns, sel []int32) []int32 {
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
			first = !w.contains(m.assignedBefore.apply(key)) && first
			w.claim(m.assigned.apply(key))
		}
		if first {
			sel = append(sel, int32(i))
		}
	}
	return sel
}

// warmAhead is how many events are warmed together.
const warmAhead = 32

// warm reads the slots the events [from, to) will be looked for in. The reads do not depend
// on each other, so the processor waits for memory once for several of them; claim
// alone waits once for each.
func (w *idWindow) warm(m *masks, c eventbatch.Columns, from, to int) {
	for i := from; i < to; i++ {
		m.moveTo(int64(c.Time.Value(i)))
		if s, tag := w.place(m.plain.apply(c.Key.Value(i))); s.used > 0 {
			w.warmed ^= s.slots[s.home(tag)]
		}
	}
}
