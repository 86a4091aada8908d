package verify

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/window"
)

// positions checks that every position has one event (V10): within a segment's objects, and between
// these and the log as far as it goes back. It also compares the rows with the histograms of their
// records (V2), with which batch finds the rows.
type positions struct {
	e *Evidence
	r *recorder
	s *snapshot

	values    []value                        // of the segment that is being read
	histogram map[string][]record.BucketRows // by object key
	tenants   map[string]map[string]int64    // rows by object key and tenant
	logs      []*logCursor                   // by partition; nil before the first segment that the log has
	trimmed   map[int]bool                   // partitions whose log a running server trimmed meanwhile
}

// value is a position with a hash of its event's identity and payload.
type value struct {
	at   uint64 // sequence within the segment, and index in the lowest indexBits bits
	hash uint64
}

const indexBits = 21 // more than eventbatch.MaxEvents

func newPositions(e *Evidence, r *recorder, s *snapshot) *positions {
	return &positions{e: e, r: r, s: s, histogram: map[string][]record.BucketRows{},
		tenants: map[string]map[string]int64{}, logs: make([]*logCursor, len(s.chains)), trimmed: map[int]bool{}}
}

func (v *positions) close() {
	for _, l := range v.logs {
		l.close()
	}
}

func hashOf(b *rows, i int) uint64 {
	var buf [eventbatch.KeySize + 8]byte
	key := b.key(i)
	copy(buf[:], key[:])
	binary.LittleEndian.PutUint64(buf[eventbatch.KeySize:], b.cols.Hash.Value(i))
	return xxhash.Sum64(buf[:])
}

func (v *positions) tail(m *message, b *rows) {
	for i := range b.n {
		v.checkKey(b, i, placeOf(b.partition).AtOffsets(b.epoch, m.seq, 0))
	}
}

func (v *positions) landed(seg *record.Commit, o *record.Object, b *rows) {
	runs := v.histogram[o.Key]
	tenants := v.tenants[o.Key]
	if tenants == nil {
		tenants = map[string]int64{}
		v.tenants[o.Key] = tenants
	}
	for i := range b.n {
		seq, index := b.position(i)
		where := placeOf(seg.Partition).AtOffsets(seg.Epoch, seq, 0).InFile(o.Key)
		if seq < seg.Start || seq >= seg.End || index < 0 || index >= 1<<indexBits {
			v.r.find(V10, where, "restore the object for which the record was made",
				"an event of message %d is in an object of %s", seq, describe(seg))
			continue
		}
		v.checkKey(b, i, where)
		tenants[text(b.tenant, i)]++
		v.values = append(v.values, value{(seq-seg.Start)<<indexBits | uint64(index), hashOf(b, i)})
		bucket := window.Floor(b.time(i), v.e.Catalog.Bucket)
		if n := len(runs); n == 0 || runs[n-1].Bucket != bucket {
			runs = append(runs, record.BucketRows{Bucket: bucket})
		}
		run := &runs[len(runs)-1]
		run.Rows++
		if b.assigned(i) {
			run.Assigned++
		}
	}
	v.histogram[o.Key] = runs
}

// checkKey compares the stored identity with the identity that the id gives. Deduplication finds
// copies only by the same identity (I1), and in the same partition (L3).
func (v *positions) checkKey(b *rows, i int, where Place) {
	if v.s.identity == "" {
		return // V11 reports it.
	}
	want := v.s.identity.Key(text(b.tenant, i), text(b.sources, i), b.id(i))
	if got := b.key(i); got != want {
		where.ID = b.id(i)
		v.r.find(V10, where, "keep a copy of the object and report a bug of recount",
			"the event's stored identity is %x, and its source and id give %x", got, want)
	} else if p := want.Partition(v.e.Partitions); p != b.partition {
		where.ID = b.id(i)
		v.r.find(V10, where, "keep a copy of the object and report a bug of recount",
			"the event belongs to partition %d, where its copies would not find it", p)
	}
}

// segment judges the segment that has been read.
func (v *positions) segment(ctx context.Context, seg *record.Commit) error {
	defer func() {
		v.values = v.values[:0]
		clear(v.histogram)
		clear(v.tenants)
	}()
	whole := true
	for i := range seg.Objects {
		o := &seg.Objects[i]
		if !v.s.readable(seg, o) {
			whole = false
			continue
		}
		if !slices.Equal(v.histogram[o.Key], o.Buckets) {
			v.r.find(V2, placeOf(seg.Partition).AtOffsets(seg.Epoch, seg.Start, seg.End).InFile(o.Key),
				"restore the commit record from a copy: batch would look for events in the wrong buckets",
				"the object's rows are in other buckets than its record says")
		}
		if o.Tenants != nil && !maps.Equal(v.tenants[o.Key], o.Tenants) {
			v.r.find(V2, placeOf(seg.Partition).AtOffsets(seg.Epoch, seg.Start, seg.End).InFile(o.Key), restore,
				"the object's rows are of other tenants than its record says")
		}
	}
	slices.SortFunc(v.values, func(a, b value) int { return cmp.Compare(a.at, b.at) })
	v.unique(seg, whole)
	if !whole || v.e.Log == nil {
		return nil
	}
	return v.compareLog(ctx, seg)
}

// unique finds positions with two events, and missing positions between the events of a message.
func (v *positions) unique(seg *record.Commit, whole bool) {
	for i, x := range v.values {
		seq := seg.Start + x.at>>indexBits
		index := x.at & (1<<indexBits - 1)
		where := placeOf(seg.Partition).AtOffsets(seg.Epoch, seq, 0)
		expected := uint64(0)
		if i > 0 && v.values[i-1].at>>indexBits == x.at>>indexBits {
			expected = v.values[i-1].at&(1<<indexBits-1) + 1
		}
		switch {
		case i > 0 && v.values[i-1].at == x.at:
			v.r.find(V10, where, "one of the segment's objects belongs to another segment; compare them with a copy "+
				"of the bucket", "message %[2]d has two events at index %[1]d", index, seq)
		case whole && index != expected:
			v.r.find(V10, where, "restore the segment's objects from a copy, or the segment from the log",
				"message %d has an event at index %d, but none at %d", seq, index, expected)
		}
	}
}

// compareLog compares the segment with its messages that the log still has.
func (v *positions) compareLog(ctx context.Context, seg *record.Commit) error {
	p := seg.Partition
	from := max(seg.Start, v.s.logs[seg.Partition].first)
	end := min(seg.End, v.s.logs[p].next)
	if from >= end || v.trimmed[p] {
		return nil
	}
	err := v.readLog(ctx, seg, from, end)
	if errors.Is(err, position.ErrTrimmed) && v.e.Kept != nil {
		v.trimmed[p] = true
		return nil
	}
	return err
}

func (v *positions) readLog(ctx context.Context, seg *record.Commit, from, end uint64) (err error) {
	p := seg.Partition
	if v.logs[p] != nil && v.logs[p].next >= end {
		return nil // A gap that was found covers the segment.
	}
	if v.logs[p] == nil || v.logs[p].next < from {
		v.logs[p].close()
		if v.logs[p], err = v.e.openLog(ctx, p, from); err != nil {
			return err
		}
	}
	cur := v.logs[p]
	cur.epoch = seg.Epoch
	rest := valuesFrom(v.values, cur.next-seg.Start)
	head := v.s.chains[p].head.Seq
	for cur.next < end {
		m, err := cur.read(ctx)
		if errors.Is(err, errUndecodable) {
			rest = valuesFrom(rest, cur.next-seg.Start)
			where := placeOf(p).AtOffsets(seg.Epoch, m.seq, min(cur.next, head))
			v.r.find(V10, where, "restore the log from a replica; no event is lost, because its events have landed",
				"%v", err)
			continue
		}
		if err != nil {
			return err
		}
		where := placeOf(p).AtOffsets(seg.Epoch, m.seq, 0)
		n := 0
		for n < len(rest) && rest[n].at>>indexBits == m.seq-seg.Start {
			n++
		}
		if !m.equals(rest[:n]) {
			v.r.find(V10, where, "stop the server and keep both: the log of one system may have been combined with "+
				"the lake of another",
				"message %d has %d events in the log and %d in the lake, and they differ", m.seq,
				m.header.Events, n)
		}
		rest = rest[n:]
		for _, b := range m.rows {
			b.cols.Rec.Release()
		}
	}
	return nil
}

// valuesFrom returns the values of a message of the segment and of all later ones.
func valuesFrom(values []value, message uint64) []value {
	i, _ := slices.BinarySearchFunc(values, message<<indexBits,
		func(x value, at uint64) int { return cmp.Compare(x.at, at) })
	return values[i:]
}

// equals reports whether the message has exactly the events of there, which are in order.
func (m *message) equals(there []value) bool {
	if m.header.Events != len(there) {
		return false
	}
	k := 0
	for _, b := range m.rows {
		for i := range b.n {
			if there[k].hash != hashOf(b, i) || int(there[k].at&(1<<indexBits-1)) != b.first+i {
				return false
			}
			k++
		}
	}
	return true
}
