package verify

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/window"
)

// eventsAtOnce is how many identities are held to find copies among them; they take some 100 MB. More
// events are split into classes by their keys, and every class costs one more reading of all events.
// So memory does not grow with the number of events.
const eventsAtOnce = 4 << 20

// copies are the events that do not count, because an earlier event is the same (I2, I3).
type copies struct {
	at [][]uint64 // places of the copies by partition, ascending
}

// place returns an event's position in its partition as one number.
func (e *event) place() uint64 { return e.at<<indexBits | e.in }

// findCopies finds the copies among all events of the types. It reads them in the order of their positions.
func findCopies(ctx context.Context, e *Evidence, r *recorder, s *snapshot, types map[string][]string,
	atOnce int64) (*copies, error) {
	out := &copies{at: make([][]uint64, len(s.chains))}
	identities := map[string][]string{}
	for t := range types {
		identities[t] = nil
	}
	classes := uint64(s.events()/atOnce + 1)
	for class := range classes {
		r.progress("V7 copies", int64(class), int64(classes))
		f := &copyFinder{copies: out, bucket: e.Catalog.Bucket, width: e.Catalog.Bucket.Microseconds(), class: class,
			classes: classes, seen: map[uint64]struct{}{}, assigned: map[uint64]struct{}{}}
		if err := f.find(ctx, newReplay(e, s, identities, nil)); err != nil {
			return nil, err
		}
	}
	for _, at := range out.at {
		slices.Sort(at)
	}
	return out, nil
}

// events returns how many events have landed.
func (s *snapshot) events() (n int64) {
	for _, c := range s.chains {
		n += c.events
	}
	return n
}

// copyFinder looks for copies among the events of one class of keys.
type copyFinder struct {
	*copies
	bucket         time.Duration
	width          int64 // of a bucket in microseconds
	class, classes uint64

	// seen holds a 64-bit hash of (type, bucket, key) of every event that was read. Among ten million
	// events, two hashes collide with a probability of three in a million.
	seen     map[uint64]struct{}
	assigned map[uint64]struct{} // the hashes in seen of events whose time the server assigned (I3)
}

func (f *copyFinder) find(ctx context.Context, all *replay) error {
	defer all.close()
	for p, c := range all.cursors {
		err := all.advance(ctx, p, c.end, func(e *event) {
			key := e.b.key(e.i)
			if binary.LittleEndian.Uint64(key[:])%f.classes == f.class && !f.isFirst(e) {
				f.at[p] = append(f.at[p], e.place())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isFirst reports whether the event is not a copy of an earlier event.
func (f *copyFinder) isFirst(e *event) bool {
	bucket := window.Floor(e.b.time(e.i), f.bucket)
	hash := hashIn(e, bucket)
	if _, copied := f.seen[hash]; copied {
		return false
	}
	f.seen[hash] = struct{}{}
	if !e.b.assigned(e.i) {
		return true
	}
	f.assigned[hash] = struct{}{}
	_, before := f.assigned[hashIn(e, bucket-f.width)]
	_, after := f.assigned[hashIn(e, bucket+f.width)]
	return !before && !after
}

// hashIn returns the hash of the event's type and key in a bucket.
func hashIn(e *event, bucket int64) uint64 {
	key := e.b.key(e.i)
	buf := binary.LittleEndian.AppendUint64(key[:], uint64(bucket))
	return xxhash.Sum64(append(buf, e.b.eventType...))
}
