// Package eventbatch is the log message: a frame around an Arrow IPC stream that
// holds a batch of events of one type and one partition. The same columns travel
// from ingest through the log to the speed layer and into the lake.
//
// # Frame, version 1 (little endian)
//
//	offset size
//	0      4    magic "RCN1"
//	4      4    CRC-32C of every byte from offset 8 to the end
//	8      1    version, 1
//	9      1    kind: 0 heartbeat, 1 events
//	10     2    length t of the event type's name
//	12     4    number of events
//	16     8    appended: writer's clock, microseconds since 1970
//	24     t    event type name, UTF-8
//	24+t   …    Arrow IPC stream: the schema, then one or more record batches
//
// A heartbeat has no type, no events and no stream: it exists to end the segment
// of an idle partition (C1). The frame carries its own checksum because the log's
// storage has been seen to return flipped bits (nats-server#7549).
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
// column must not be left out, the key recount_requires of the schema's metadata names it, and older programs refuse
// the message.
package eventbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"recount/schemas/position"
)

// Kind is what a frame holds.
type Kind uint8

// The kinds of frames.
const (
	Heartbeat Kind = 0
	Events    Kind = 1
)

// Version is the version of the frames that this program writes and reads.
const Version = 1

const (
	magic      = "RCN1"
	headerSize = 24

	// MaxFrame is the largest frame in bytes; the log refuses larger ones.
	MaxFrame = 8<<20 - 64<<10
	// MaxEvents is the largest number of events in one frame.
	MaxEvents = 1 << 20
	maxType   = 128
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
}

// Message is a frame at its place in a partition's log.
type Message struct {
	Seq   uint64
	Frame []byte
}

// Cut returns what the cut rule sees of the message.
func (m Message) Cut(h Header) position.Message {
	return position.Message{Seq: m.Seq, Events: int64(h.Events), Bytes: int64(len(m.Frame)), Appended: h.Appended}
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
	return append(dst, h.Type...)
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

func readHeader(frame []byte) (Header, []byte, error) {
	if len(frame) < headerSize || len(frame) > MaxFrame || string(frame[:4]) != magic {
		return Header{}, nil, fmt.Errorf("%w: %d bytes do not begin with a frame header", ErrCorrupt, len(frame))
	}
	got := crc32.Checksum(frame[8:], castagnoli)
	want := binary.LittleEndian.Uint32(frame[4:])
	if got != want {
		return Header{}, nil, fmt.Errorf("%w: checksum %08x, header says %08x", ErrCorrupt, got, want)
	}
	if frame[8] != Version {
		return Header{}, nil, fmt.Errorf("%w: version %d, this program reads %d; use the version of recount that "+
			"wrote it, or a later one", ErrCorrupt, frame[8], Version)
	}
	t := int(binary.LittleEndian.Uint16(frame[10:]))
	h := Header{
		Kind:     Kind(frame[9]),
		Events:   int(binary.LittleEndian.Uint32(frame[12:])),
		Appended: int64(binary.LittleEndian.Uint64(frame[16:])),
	}
	if h.Kind > Events || t > maxType || len(frame) < headerSize+t || h.Events > MaxEvents ||
		(h.Kind == Heartbeat) != (h.Events == 0) {
		return Header{}, nil, fmt.Errorf("%w: kind %d with %d events of a type of %d bytes", ErrCorrupt, h.Kind,
			h.Events, t)
	}
	h.Type = string(frame[headerSize : headerSize+t])
	return h, frame[headerSize+t:], nil
}
