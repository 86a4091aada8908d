// Package eventbatch is the log message: a frame with a batch of events of one type
// and one partition, as columns. The same columns travel from ingest through the log
// to the speed layer and into the lake.
//
// # Frame, version 3 (little endian)
//
//	offset size
//	0      4    magic "RCN1"
//	4      4    CRC-32C of every byte from offset 8 to the end
//	8      1    version, 3
//	9      1    kind: 0 heartbeat, 1 events
//	10     2    length t of the event type's name
//	12     4    number of events
//	16     8    appended: writer's clock, microseconds since 1970
//	24     4    decoded: bytes that the columns take in memory
//	28     t    event type name, UTF-8
//	28+t   g    generation of the catalog by which the events were decoded (G3), as a varint; 0 means unknown
//	28+t+g 1    length r of what a reader must know
//	29+t+g r    what a reader must know: names with commas between them
//	…           one or more batches
//
// A heartbeat ends after t, which is 0. It exists to end the segment of an idle partition (C1). The frame carries
// its own checksum because the log's storage has been seen to return flipped bits (nats-server#7549).
//
// No reader needs the generation to read the columns, because they have their names and types with them (I7). It is
// for people: it says by which declarations a sender's events were checked.
//
// The cut rule counts the bytes of a message in the log or in memory, whichever are more. So it bounds the memory of
// an open segment, however well the columns are packed.
//
// A batch is the number of rows (uint32), the number of columns (uint16), and the columns:
//
//	size
//	1    length of the name
//	…    name
//	4    length of the rest of the column
//	1    type: 1 utf8, 2 int64, 3 float64, 4 bool, 5 timestamp[us, UTC], 6 uint64, 7 uint8, 8 fixed_size_binary[16],
//	     9 decimal
//	1    nulls: 0 not nullable, 1 nullable without a null, 2 some, 3 all
//	2    of a decimal only: the most digits of a value, and how many of them follow the point
//	…    if some: a bit for each row, 1 if it has a value, the first row lowest
//	…    unless all: the values, also of rows that have none
//
// The values of the types:
//
//	utf8    a byte 0 and the one text that all rows have, or
//	        a byte 1, the smallest length (uint32), the width w (uint8), for each row its length minus the smallest
//	        one in w bytes, and the bytes of all texts
//	bool    a bit for each row, the first row lowest
//	fixed   16 bytes for each row
//	others  the smallest value (8 bytes), the shift s (uint8), the width w (uint8), and for each row in w bytes what,
//	        shifted left by s bits, is added to the smallest value; a float64 is the integer with its bits
//
// # Frames, versions 1 and 2
//
// They are still read. Neither has the generation, nor decimals. Version 1 also lacks decoded, so the type's name is at
// offset 24. An Arrow IPC stream follows it, with the schema and one or more record batches.
//
// # Columns of a record batch
//
//	_key      fixed_size_binary[16]   identity key (see Key)
//	_tenant   utf8                    who sent the event
//	_flags    uint8                   1: the server assigned the time; 2: the hash is of values
//	_hash     uint64                  digest of the payload (see package ingest)
//	id        utf8
//	time      timestamp[us, UTC]
//	source    utf8                    empty when missing
//	subject   utf8, nullable
//	_extra    utf8, nullable          JSON of fields and attributes that are not declared
//	…         nullable                each declared field, by name: utf8, int64, float64, bool or timestamp[us, UTC]
//	_overflow utf8, nullable          dimensions with a value too many; only in batches that have one
//
// A reader leaves out further columns whose names begin with an underscore, so a later program may add one. If a
// column must not be left out, the frame names it among what a reader must know, and older programs refuse the
// message. In memory, and in version 1, this is the key recount_requires of the schema's metadata.
package eventbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"recount/schemas/position"
)

// Kind is what a frame holds.
type Kind uint8

// The kinds of frames.
const (
	Heartbeat Kind = 0
	Events    Kind = 1
)

// Version is the version of the frames that this program writes. It also reads those of versions 1 and 2.
const Version = 3

const (
	magic       = "RCN1"
	headerSize  = 28
	headerSize1 = 24 // in version 1

	// MaxFrame is the largest frame in bytes; the log refuses larger ones.
	MaxFrame = 8<<20 - 64<<10
	// MaxEvents is the largest number of events in one frame.
	MaxEvents = 1 << 20
	maxType   = 128
	maxName   = 255 // of a column
	// maxColumns is the most columns of all batches of a frame.
	maxColumns = 1<<16 - 1
	// maxDecoded is the most that the columns of a frame may take in memory.
	maxDecoded = 4 * MaxFrame
)

// ErrCorrupt is wrapped by every error about a frame that is not as it was written.
var ErrCorrupt = errors.New("corrupt log message")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what can be known of a frame without decoding its columns.
type Header struct {
	Kind     Kind
	Type     string
	Events   int
	Appended int64 // writer's clock, microseconds since 1970
	Bytes    int64 // as the cut rule counts them
	// Generation is that of the catalog by which the events were decoded. It is 0 if the frame does not say so.
	Generation uint64
}

// Message is a frame at its place in a partition's log.
type Message struct {
	Seq    uint64
	Frame  []byte
	shared *shared // nil unless several readers get the message
}

// shared is what the first Decode of a message returned.
type shared struct {
	decode sync.Once
	header Header
	recs   []Columns
	err    error
}

// Share returns the message in a form that is decoded once, however many copies of it are decoded.
func (m Message) Share() Message {
	m.shared = &shared{}
	return m
}

// Size returns how many bytes the message may take in memory, as its header says. It is for bounds of memory only: it
// checks nothing.
func (m Message) Size() int {
	if len(m.Frame) < headerSize || m.Frame[8] == 1 {
		return len(m.Frame)
	}
	return max(len(m.Frame), min(int(binary.LittleEndian.Uint32(m.Frame[headerSize1:])), maxDecoded))
}

// Decode decodes the frame as the function Decode does. The caller releases the records.
func (m Message) Decode() (Header, []Columns, error) {
	s := m.shared
	if s == nil {
		return Decode(m.Frame)
	}
	s.decode.Do(func() {
		s.header, s.recs, s.err = Decode(m.Frame)
		for _, c := range s.recs {
			for _, column := range c.Rec.Columns() {
				column.NullN() // Arrow may count nulls when it is first asked, which readers must not do at once.
			}
		}
	})
	for _, c := range s.recs {
		c.Rec.Retain()
	}
	return s.header, s.recs, s.err
}

// Cut returns what the cut rule sees of the message.
func (m Message) Cut(h Header) position.Message {
	return position.Message{Seq: m.Seq, Events: int64(h.Events), Bytes: h.Bytes, Appended: h.Appended}
}

// AppendHeartbeat appends a heartbeat frame to dst.
func AppendHeartbeat(dst []byte, appended int64) []byte {
	return seal(appendHeader(dst, Header{Kind: Heartbeat, Appended: appended}), len(dst))
}

func appendHeader(dst []byte, h Header) []byte {
	dst = append(dst, magic...)
	dst = append(dst, 0, 0, 0, 0, Version, byte(h.Kind))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.Type)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Events))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Appended))
	dst = append(append(dst, 0, 0, 0, 0), h.Type...)
	if h.Kind == Heartbeat {
		return dst
	}
	return binary.AppendUvarint(dst, h.Generation)
}

func seal(frame []byte, start int) []byte {
	f := frame[start:]
	binary.LittleEndian.PutUint32(f[4:], crc32.Checksum(f[8:], castagnoli))
	return frame
}

// ReadHeader checks a frame's checksum and returns its header.
func ReadHeader(frame []byte) (Header, error) {
	h, _, err := readHeader(frame)
	return h, err
}

// readHeader returns the header, and the bytes after it.
func readHeader(frame []byte) (Header, []byte, error) {
	if len(frame) < headerSize1 || len(frame) > MaxFrame || string(frame[:4]) != magic {
		return Header{}, nil, fmt.Errorf("%w: %d bytes do not begin with a frame header", ErrCorrupt, len(frame))
	}
	got := crc32.Checksum(frame[8:], castagnoli)
	want := binary.LittleEndian.Uint32(frame[4:])
	if got != want {
		return Header{}, nil, fmt.Errorf("%w: checksum %08x, header says %08x", ErrCorrupt, got, want)
	}
	size := headerSize
	switch frame[8] {
	case 1:
		size = headerSize1
	case 2, Version:
	default:
		return Header{}, nil, fmt.Errorf("%w: version %d, this program reads 1 to %d; use the version of recount that "+
			"wrote it, or a later one", ErrCorrupt, frame[8], Version)
	}
	t := int(binary.LittleEndian.Uint16(frame[10:]))
	h := Header{
		Kind:     Kind(frame[9]),
		Events:   int(binary.LittleEndian.Uint32(frame[12:])),
		Appended: int64(binary.LittleEndian.Uint64(frame[16:])),
		Bytes:    int64(len(frame)),
	}
	if h.Kind > Events || t > maxType || len(frame) < size+t || h.Events > MaxEvents ||
		(h.Kind == Heartbeat) != (h.Events == 0) {
		return Header{}, nil, fmt.Errorf("%w: kind %d with %d events of a type of %d bytes", ErrCorrupt, h.Kind,
			h.Events, t)
	}
	if size == headerSize {
		h.Bytes = max(h.Bytes, int64(size+t)+int64(binary.LittleEndian.Uint32(frame[headerSize1:])))
	}
	h.Type = string(frame[size : size+t])
	rest := frame[size+t:]
	if frame[8] < Version || h.Kind == Heartbeat {
		return h, rest, nil
	}
	generation, n := binary.Uvarint(rest)
	if n <= 0 {
		return Header{}, nil, fmt.Errorf("%w: its generation is cut off or too large", ErrCorrupt)
	}
	h.Generation = generation
	return h, rest[n:], nil
}
