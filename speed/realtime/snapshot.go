package realtime

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"recount/schemas/position"
)

// A file of version 4 names the installation. One of version 3 or later refers to blocks of identities, and those of
// versions 1 and 2 hold the identities themselves. In version 1, sums of floats were rounded and values of fields that
// were declared late were missing, so its segments are not used.
const (
	snapshotMagic = "RCNSNAP4"
	magicVersion3 = "RCNSNAP3"
	magicVersion2 = "RCNSNAP2"
	magicVersion1 = "RCNSNAP1"
)

// The kinds of sections, in the order of the file.
const (
	kindHead uint8 = iota + 1
	kindSegment
	kindMarks
	kindIdentities
	kindEnd
	kindUnconverted // It follows the segment that it belongs to.
	kindBlocks      // It follows the marks, in place of identities.
)

const (
	sectionHead = 13
	// identitiesPerSection keeps a section of identities at 1 MiB.
	identitiesPerSection = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot is one partition at a segment boundary (S5).
type snapshot struct {
	partition, partitionCount int
	bucket                    int64 // microseconds
	base, next                uint64
	epochs                    []position.EpochStart
	views                     []viewID
	installation              string        // empty in a file of version 1, 2 or 3
	segments                  []*segment    // nil if the views are not those of the plan
	marks                     []segmentMark // the last one is at next
	ring                      ring
	blocks                    []block // of the ring; nil in a file of version 1 or 2, and after truncate
}

// viewID identifies what a view's tables hold.
type viewID struct{ name, digest, event string }

// viewIDs returns the ids of the plan's views, in its order.
func (p *plan) viewIDs() (out []viewID) {
	for _, t := range p.types {
		for _, v := range t.views {
			id := viewID{v.view.Name, v.digest, t.name}
			if t.group > 0 { // The tables of a definition from before are not those of the catalog's views.
				id.event = fmt.Sprintf("%s/%d", t.name, t.group)
			}
			out = append(out, id)
		}
	}
	return out
}

// capture returns the state at the start of the open segment. It copies neither aggregates nor
// identities, because closed segments and the ring's entries never change.
func (p *partition) capture() *snapshot {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return &snapshot{
		partition:      p.id,
		partitionCount: p.partitionCount,
		bucket:         p.bucket.Microseconds(),
		base:           min(p.base, p.open.start),
		next:           p.open.start,
		epochs:         p.epochs,
		views:          p.plan.viewIDs(),
		installation:   p.cfg.Installation,
		segments:       p.closed[:len(p.closed):len(p.closed)],
		marks:          p.frozen.marks,
		ring:           p.frozen.ring,
	}
}

// write writes the snapshot file.
func (s *snapshot) write(w io.Writer) error {
	out := sectionWriter{writer: bufio.NewWriterSize(w, 64<<10)}
	magic := snapshotMagic
	switch {
	case s.blocks == nil:
		magic = magicVersion2
	case s.installation == "":
		magic = magicVersion3
	}
	_, out.err = out.writer.WriteString(magic)
	out.write(kindHead, s.encodeHead)
	for _, closed := range s.segments {
		out.write(kindSegment, closed.encode)
		if closed.hasUnconverted() {
			out.write(kindUnconverted, closed.encodeUnconverted)
		}
	}
	out.write(kindMarks, s.encodeMarks)
	if s.blocks != nil {
		out.write(kindBlocks, s.encodeBlocks)
	}
	for n := s.ring.first; n < s.ring.end && s.blocks == nil; n += identitiesPerSection {
		out.write(kindIdentities, func(b []byte) []byte {
			for i := n; i < min(n+identitiesPerSection, s.ring.end); i++ {
				id := s.ring.entry(i)
				b = littleEndian.AppendUint64(littleEndian.AppendUint64(b, id.low), id.high)
			}
			return b
		})
	}
	sections := out.sections
	out.write(kindEnd, func(b []byte) []byte { return littleEndian.AppendUint64(b, sections) })
	if out.err != nil {
		return out.err
	}
	return out.writer.Flush()
}

// sectionWriter writes the sections of a file, until the first error.
type sectionWriter struct {
	writer   *bufio.Writer
	buffer   []byte
	sections uint64
	err      error
}

func (o *sectionWriter) write(kind uint8, payload func([]byte) []byte) {
	if o.err != nil {
		return
	}
	o.buffer = append(o.buffer[:0], make([]byte, sectionHead)...)
	o.buffer = payload(o.buffer)
	o.buffer[0] = kind
	littleEndian.PutUint64(o.buffer[1:], uint64(len(o.buffer)-sectionHead))
	littleEndian.PutUint32(o.buffer[9:], sectionSum(o.buffer[:sectionHead], o.buffer[sectionHead:]))
	o.sections++
	_, o.err = o.writer.Write(o.buffer)
}

func sectionSum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:9], castagnoli), castagnoli, payload)
}

func (s *snapshot) encodeHead(b []byte) []byte {
	b = littleEndian.AppendUint32(b, uint32(s.partition))
	b = littleEndian.AppendUint32(b, uint32(s.partitionCount))
	b = littleEndian.AppendUint64(b, uint64(s.bucket))
	b = littleEndian.AppendUint64(b, s.base)
	b = littleEndian.AppendUint64(b, s.next)
	b = littleEndian.AppendUint64(b, uint64(len(s.epochs)))
	for _, e := range s.epochs {
		b = littleEndian.AppendUint32(b, e.Epoch)
		b = littleEndian.AppendUint64(b, e.Start)
		b = littleEndian.AppendUint64(b, uint64(e.Rule.Interval))
		b = littleEndian.AppendUint64(b, uint64(e.Rule.Rows))
		b = littleEndian.AppendUint64(b, uint64(e.Rule.Bytes))
	}
	b = littleEndian.AppendUint64(b, uint64(len(s.views)))
	for _, v := range s.views {
		b = appendText(appendText(appendText(b, v.name), v.digest), v.event)
	}
	if s.blocks != nil && s.installation != "" {
		b = appendText(b, s.installation)
	}
	return b
}

func (s *snapshot) decodeHead(d *decoder, magic string) {
	s.partition = int(d.uint32())
	s.partitionCount = int(d.uint32())
	s.bucket = d.int64()
	s.base = d.uint64()
	s.next = d.uint64()
	for range d.count(36) {
		e := position.EpochStart{Epoch: d.uint32(), Start: d.uint64()}
		e.Rule = position.CutRule{Interval: time.Duration(d.int64()), Rows: d.int64(), Bytes: d.int64()}
		s.epochs = append(s.epochs, e)
	}
	for range d.count(24) {
		s.views = append(s.views, viewID{d.text(), d.text(), d.text()})
	}
	if magic == snapshotMagic {
		s.installation = d.text()
	}
	if s.base > s.next {
		d.reject("base %d is above next %d", s.base, s.next)
	}
}

func (s *snapshot) encodeMarks(b []byte) []byte {
	b = littleEndian.AppendUint64(b, uint64(s.ring.len()))
	b = littleEndian.AppendUint64(b, uint64(len(s.marks)))
	for _, m := range s.marks {
		b = littleEndian.AppendUint64(b, m.start)
		b = littleEndian.AppendUint64(b, max(m.first, s.ring.first)-s.ring.first)
		b = littleEndian.AppendUint64(b, uint64(m.appended))
	}
	return b
}

// decodeMarks returns the number of identities that must follow.
func (s *snapshot) decodeMarks(d *decoder) uint64 {
	entries := d.uint64()
	for range d.count(24) {
		s.marks = append(s.marks, segmentMark{d.uint64(), d.uint64(), d.int64()})
	}
	rises := func(a, b segmentMark) bool { return a.start < b.start && a.first <= b.first }
	for i := range s.marks[:max(0, len(s.marks)-1)] {
		if !rises(s.marks[i], s.marks[i+1]) {
			d.reject("mark %d is not before mark %d", i, i+1)
		}
	}
	if n := len(s.marks); n == 0 || s.marks[n-1].start != s.next || s.marks[n-1].first != entries {
		d.reject("the last mark is not at message %d", s.next)
	}
	return entries
}

// truncate forgets the identities of the message start and of all later messages. It returns false if
// start is not a boundary, because the window does not know where in a segment a message begins.
func (s *snapshot) truncate(start uint64) bool {
	i := slices.IndexFunc(s.marks, func(m segmentMark) bool { return m.start >= start })
	if i < 0 || i > 0 && s.marks[i].start != start {
		return false
	}
	s.ring.end = max(s.ring.first, s.marks[i].first)
	s.blocks = nil // Other entries follow than those of the blocks.
	s.marks = append(slices.Clone(s.marks[:i]), segmentMark{start: start, first: s.ring.end})
	return true
}
