package realtime

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// snapshotReader reads the sections of a file of which `left` bytes remain.
type snapshotReader struct {
	reader   io.Reader
	left     int64
	buffer   []byte
	sections uint64
}

// readSnapshot reads a snapshot of size bytes and checks every byte of it. If the views are not those of
// the plan, or the plan is nil, it checks the segments' checksums and leaves the segments out. Errors
// wrap errSnapshot or are the reader's.
func readSnapshot(r io.Reader, size int64, p *plan) (*snapshot, error) {
	in := &snapshotReader{reader: bufio.NewReaderSize(r, 64<<10), left: size}
	first, err := in.read(len(snapshotMagic))
	if err != nil {
		return nil, err
	}
	magic := string(first) // The bytes are valid until the next read.
	if !slices.Contains([]string{snapshotMagic, magicVersion3, magicVersion2, magicVersion1}, magic) {
		return nil, fmt.Errorf("%w: it does not begin with %s", errSnapshot, snapshotMagic)
	}
	if magic == magicVersion1 {
		p = nil // Its segments lack the values of fields that were declared late (I7).
	}
	s := &snapshot{ring: ring{lineage: rand.Uint64()}}
	var missing uint64 // number of identities that must still follow
	for before := kindHead; ; {
		kind, d, err := in.section()
		if err != nil {
			return nil, err
		}
		if !mayFollow(kind, before) {
			return nil, fmt.Errorf("%w: a section of kind %d follows one of kind %d", errSnapshot, kind, before)
		}
		before = kind
		switch kind {
		case kindHead:
			s.decodeHead(d, magic)
		case kindSegment:
			s.decodeSegment(d, p)
		case kindUnconverted:
			s.decodeUnconverted(d)
		case kindMarks:
			missing = s.decodeMarks(d)
		case kindIdentities:
			missing -= s.decodeIdentities(d, missing)
		case kindBlocks:
			missing -= s.decodeBlocks(d, missing)
		case kindEnd:
			if s.segmentsEnd(p) != s.next {
				d.reject("the segments do not end at %d", s.next)
			}
			if magic == magicVersion1 {
				s.views = nil
			}
			return s, in.end(d, missing)
		}
		if d.err != nil {
			return nil, d.err
		}
	}
}

// mayFollow reports whether a section of the kind may follow one of the kind before. The first section
// is checked as if a head came before it.
func mayFollow(kind, before uint8) bool {
	switch kind {
	case kindSegment, kindMarks:
		return before == kindHead || before == kindSegment || before == kindUnconverted
	case kindUnconverted:
		return before == kindSegment
	case kindBlocks:
		return before == kindMarks
	case kindIdentities:
		return before == kindMarks || before == kindIdentities
	case kindEnd:
		return before == kindMarks || before == kindIdentities || before == kindBlocks
	}
	return kind == kindHead && before == kindHead
}

func (in *snapshotReader) read(n int) ([]byte, error) {
	if int64(n) > in.left || n < 0 {
		return nil, fmt.Errorf("%w: %d bytes are missing at its end", errSnapshot, int64(n)-in.left)
	}
	in.left -= int64(n)
	in.buffer = resize(in.buffer[:0], n)
	if _, err := io.ReadFull(in.reader, in.buffer); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return in.buffer, nil
}

// section returns the kind and the payload of the next section. The payload is valid until the next
// call.
func (in *snapshotReader) section() (uint8, *decoder, error) {
	b, err := in.read(sectionHead)
	if err != nil {
		return 0, nil, err
	}
	head := [sectionHead]byte(b)
	n := littleEndian.Uint64(head[1:])
	if n > uint64(in.left) {
		return 0, nil, fmt.Errorf("%w: a section has %d bytes, but the file has only %d more", errSnapshot, n, in.left)
	}
	payload, err := in.read(int(n))
	if err != nil {
		return 0, nil, err
	}
	got := sectionSum(head[:], payload)
	want := littleEndian.Uint32(head[9:])
	if got != want {
		return 0, nil, fmt.Errorf("%w: a section has the checksum %08x, its header says %08x", errSnapshot, got, want)
	}
	in.sections++
	return head[0], &decoder{payload: payload}, nil
}

// end checks that the file is whole.
func (in *snapshotReader) end(d *decoder, missing uint64) error {
	if n := d.uint64(); d.err == nil && (n != in.sections-1 || missing != 0 || in.left != 0 || len(d.payload) != 0) {
		d.reject("%d of %d sections are there, %d identities are missing, %d bytes follow the end",
			in.sections-1, n, missing, in.left)
	}
	return d.err
}

// segmentsEnd returns where the segments read so far end, or next if segments are left out.
func (s *snapshot) segmentsEnd(p *plan) uint64 {
	if n := len(s.segments); n > 0 {
		return s.segments[n-1].end
	}
	if p == nil || !slices.Equal(s.views, p.viewIDs()) {
		return s.next
	}
	return s.base
}

// decodeSegment appends a segment, unless segments are left out.
func (s *snapshot) decodeSegment(d *decoder, p *plan) {
	if p == nil || !slices.Equal(s.views, p.viewIDs()) {
		return
	}
	next := decodeSegment(d, p)
	start := s.segmentsEnd(p)
	if next.start != start || next.end <= next.start || next.end > s.next {
		d.reject("segment [%d, %d) is not the one from %d on, or ends above %d", next.start, next.end, start, s.next)
	}
	s.segments = append(s.segments, next)
}

// decodeUnconverted reads the counts of the last segment, unless segments are left out.
func (s *snapshot) decodeUnconverted(d *decoder) {
	if n := len(s.segments); n > 0 {
		s.segments[n-1].decodeUnconverted(d)
	}
}

// decodeIdentities reads a section of identities and returns their number.
func (s *snapshot) decodeIdentities(d *decoder, missing uint64) uint64 {
	n := uint64(len(d.payload) / 16)
	if len(d.payload)%16 != 0 || n > missing || n > identitiesPerSection {
		d.reject("a section has %d bytes of identities, but only %d identities are missing", len(d.payload), missing)
		return 0
	}
	for range n {
		s.ring.append(identity{d.uint64(), d.uint64()})
	}
	return n
}
