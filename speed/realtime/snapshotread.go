package realtime

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// snapshotReader reads the sections of a file of left more bytes.
type snapshotReader struct {
	reader   io.Reader
	left     int64
	buffer   []byte
	sections uint64
}

// readSnapshot reads a snapshot of size bytes and checks every byte of it. Segments of
// other views than the plan's, or of any with a nil plan, are checked and left out. Errors
// wrap errSnapshot or are the reader's.
func readSnapshot(r io.Reader, size int64, p *plan) (*snapshot, error) {
	in := &snapshotReader{reader: bufio.NewReaderSize(r, 64<<10), left: size}
	magic, err := in.read(len(snapshotMagic))
	if err != nil {
		return nil, err
	}
	if string(magic) != snapshotMagic {
		return nil, fmt.Errorf("%w: it does not begin with %s", errSnapshot, snapshotMagic)
	}
	s := &snapshot{}
	var missing uint64 // identities still to come
	for expected := kindHead; ; {
		kind, d, err := in.section()
		if err != nil {
			return nil, err
		}
		if !mayFollow(kind, expected) {
			return nil, fmt.Errorf("%w: a section of kind %d after %d", errSnapshot, kind, expected)
		}
		expected = kind
		switch kind {
		case kindHead:
			s.decodeHead(d)
		case kindSegment:
			s.decodeSegment(d, p)
		case kindMarks:
			missing = s.decodeMarks(d)
		case kindIdentities:
			missing -= s.decodeIdentities(d, missing)
		case kindEnd:
			if s.segmentsEnd(p) != s.next {
				d.reject("the segments do not end at %d", s.next)
			}
			return s, in.end(d, missing)
		}
		if d.err != nil {
			return nil, d.err
		}
	}
}

// follows reports whether a section may come after one of the kind before, or be the
// first, where before is kindHead.
func mayFollow(kind, before uint8) bool {
	switch kind {
	case kindSegment:
		return before == kindHead || before == kindSegment
	case kindMarks:
		return before == kindHead || before == kindSegment
	case kindIdentities, kindEnd:
		return before == kindMarks || before == kindIdentities
	}
	return kind == kindHead && before == kindHead
}

func (in *snapshotReader) read(n int) ([]byte, error) {
	if int64(n) > in.left || n < 0 {
		return nil, fmt.Errorf("%w: %d bytes missing", errSnapshot, int64(n)-in.left)
	}
	in.left -= int64(n)
	in.buffer = resize(in.buffer[:0], n)
	if _, err := io.ReadFull(in.reader, in.buffer); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return in.buffer, nil
}

// section returns the next section; its payload is valid until the next call.
func (in *snapshotReader) section() (uint8, *decoder, error) {
	b, err := in.read(sectionHead)
	if err != nil {
		return 0, nil, err
	}
	head := [sectionHead]byte(b)
	n := littleEndian.Uint64(head[1:])
	if n > uint64(in.left) {
		return 0, nil, fmt.Errorf("%w: a section of %d bytes, %d are left", errSnapshot, n, in.left)
	}
	payload, err := in.read(int(n))
	if err != nil {
		return 0, nil, err
	}
	got := sectionSum(head[:], payload)
	want := littleEndian.Uint32(head[9:])
	if got != want {
		return 0, nil, fmt.Errorf("%w: checksum %08x, the section says %08x", errSnapshot, got, want)
	}
	in.sections++
	return head[0], &decoder{payload: payload}, nil
}

// end checks that the file is whole.
func (in *snapshotReader) end(d *decoder, missing uint64) error {
	if n := d.uint64(); d.err == nil && (n != in.sections-1 || missing != 0 || in.left != 0 || len(d.payload) != 0) {
		d.reject("%d of %d sections, %d identities missing, %d bytes behind it", in.sections-1, n, missing, in.left)
	}
	return d.err
}

// segmentsEnd is where the segments read so far end; next where they are not wanted.
func (s *snapshot) segmentsEnd(p *plan) uint64 {
	if n := len(s.segments); n > 0 {
		return s.segments[n-1].end
	}
	if p == nil || !slices.Equal(s.views, p.viewIDs()) {
		return s.next
	}
	return s.base
}

func (s *snapshot) decodeSegment(d *decoder, p *plan) {
	if p == nil || !slices.Equal(s.views, p.viewIDs()) {
		return
	}
	seg := decodeSegment(d, p)
	start := s.segmentsEnd(p)
	if seg.start != start || seg.end <= seg.start || seg.end > s.next {
		d.reject("segment [%d, %d) where %d is next", seg.start, seg.end, start)
	}
	s.segments = append(s.segments, seg)
}

// decodeIdentities returns how many there were.
func (s *snapshot) decodeIdentities(d *decoder, missing uint64) uint64 {
	n := uint64(len(d.payload) / 16)
	if len(d.payload)%16 != 0 || n > missing || n > identitiesPerSection {
		d.reject("%d bytes of identities where %d are missing", len(d.payload), missing)
		return 0
	}
	for range n {
		s.ring.append(identity{d.uint64(), d.uint64()})
	}
	return n
}
