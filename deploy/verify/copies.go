package verify

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/window"
)

// eventsAtOnce is how many events' identities are held to look for copies among them: some
// 100 MB. Where there are more, they are looked at in classes of their keys, one after the
// other, so that memory does not grow with the events, and time grows by a reading a class.
const eventsAtOnce = 4 << 20

// copies are the events that do not count, because one before them is the same (I2, I3).
type copies struct {
	at [][]uint64 // by partition: their places, ascending

	// unclear has, by type and partition, the first message with an event of which the order
	// alone does not say whether it is a copy. Where a copy with an assigned time lies in the
	// bucket behind one that was shown, the earlier position loses when batch looks at both, so an
	// answer depends on when it did: the type is left to V6 from there on.
	unclear map[string][]uint64
}

// place is an event's position in its partition as one number.
func (e *event) place() uint64 { return e.at<<indexBits | e.in }

// unclearBelow reports whether the answers of a type that cover the partitions up to S cannot be judged.
func (c *copies) unclearBelow(eventType string, through []uint64) bool {
	for p, at := range c.unclear[eventType] {
		if at < through[p] {
			return true
		}
	}
	return false
}

// findCopies reads the identities of all events of the types, in the order of their positions.
func findCopies(ctx context.Context, e *Evidence, r *recorder, s *snapshot, types map[string][]string,
	atOnce int64) (*copies, error) {
	out := &copies{at: make([][]uint64, len(s.chains)), unclear: map[string][]uint64{}}
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

// events is how many there may be: those that have landed, and the log's, as many in a message.
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

	// seen holds a hash of (type, bucket, key) of every event shown. 64 bits: among ten
	// million events two collide with a chance of three in a million.
	seen     map[uint64]struct{}
	assigned map[uint64]struct{} // of those, the ones whose time the server assigned (I3)
}

func (f *copyFinder) find(ctx context.Context, all *replay) error {
	defer all.close()
	for p, c := range all.cursors {
		err := all.advance(ctx, p, c.end, func(e *event) {
			key := e.b.key(e.i)
			if binary.LittleEndian.Uint64(key[:])%f.classes == f.class && !f.first(e) {
				f.at[p] = append(f.at[p], e.place())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// first reports whether the event is no copy of one before it.
func (f *copyFinder) first(e *event) bool {
	bucket := window.Floor(e.b.time(e.i), f.bucket)
	own := hashIn(e, bucket)
	if _, copied := f.seen[own]; copied {
		return false
	}
	f.seen[own] = struct{}{}
	if !e.b.assigned(e.i) {
		return true
	}
	f.assigned[own] = struct{}{}
	if _, after := f.assigned[hashIn(e, bucket+f.width)]; after {
		f.doubt(e)
	}
	_, before := f.assigned[hashIn(e, bucket-f.width)]
	return !before
}

func (f *copyFinder) doubt(e *event) {
	of := f.unclear[e.b.eventType]
	if of == nil {
		of = make([]uint64, len(f.at))
		for p := range of {
			of[p] = math.MaxUint64
		}
		f.unclear[e.b.eventType] = of
	}
	of[e.b.partition] = min(of[e.b.partition], e.at)
}

func hashIn(e *event, bucket int64) uint64 {
	key := e.b.key(e.i)
	buf := binary.LittleEndian.AppendUint64(key[:], uint64(bucket))
	return xxhash.Sum64(append(buf, e.b.eventType...))
}
