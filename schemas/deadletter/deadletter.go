// Package deadletter is what the layers agree on about rejected events. A dead letter
// is itself an event, of the reserved type Type: it goes through the log, the real-time
// views and the lake like any other, so it has a position, is counted with everything
// else that was accepted or refused, and needs no store of its own.
//
// # The event
//
//	id      EventID of the bytes and the code, so a bad request that is sent again is a copy (I2)
//	time    when the server received it, flagged as assigned (I3)
//	source  the source of the rejected event, as far as it could be read
//	fields  see EventType
//
// The bytes as received are in the field raw if they are UTF-8, else as base64 in
// raw_base64. Exactly one of the two is present. Arrow and Parquet strings are UTF-8 by
// their specifications, and most of what is rejected is text that a person wants to read.
//
// # Names
//
// A dead letter's name is its position in the log, partition-sequence-index, as in
// 2-8120-0. Two arrivals of the same bytes are two rejections with two names, and a name
// leads to its dead letter without a search.
package deadletter

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"recount/schemas/catalog"
)

// Type is the event type of dead letters. Clients cannot send it and configurations cannot declare it.
const Type = catalog.ReservedPrefix + "dead_letter"

// The fields of a dead letter.
const (
	FieldBytes     = "bytes"      // how many bytes were received
	FieldCode      = "code"       // why it was rejected, as in the answer
	FieldEventID   = "event_id"   // of the rejected event, as far as it could be read
	FieldEventTime = "event_time" // likewise, as the text it was
	FieldEventType = "event_type" // likewise
	FieldIndex     = "index"      // of the event in its request; null for a request that could not be taken apart
	FieldMessage   = "message"    // for people, as in the answer
	FieldRaw       = "raw"        // the bytes, where they are UTF-8
	FieldRawBase64 = "raw_base64" // the bytes, where they are not
	FieldStrict    = "strict"     // the content type was CloudEvents' own: specversion and source were required
	FieldTruncated = "truncated"  // the bytes were too many and only the first ones are kept
)

// EventType returns the schema of dead letters.
func EventType() *catalog.EventType {
	return &catalog.EventType{Name: Type, Fields: []catalog.Field{
		{Name: FieldBytes, Type: catalog.Int64},
		{Name: FieldCode, Type: catalog.String},
		{Name: FieldEventID, Type: catalog.String},
		{Name: FieldEventTime, Type: catalog.String},
		{Name: FieldEventType, Type: catalog.String},
		{Name: FieldIndex, Type: catalog.Int64},
		{Name: FieldMessage, Type: catalog.String},
		{Name: FieldRaw, Type: catalog.String},
		{Name: FieldRawBase64, Type: catalog.String},
		{Name: FieldStrict, Type: catalog.Bool},
		{Name: FieldTruncated, Type: catalog.Bool},
	}}
}

// Digest is the SHA-256 of a rejected event's code and bytes. The length of the code comes
// first, so that no bytes can be moved between the two.
func Digest(code string, raw []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(code))))
	h.Write([]byte(code))
	h.Write(raw)
	return [sha256.Size]byte(h.Sum(nil))
}

// EventID is the id of the dead letter with a digest: its first 16 bytes in hexadecimal.
func EventID(digest [sha256.Size]byte) string { return hex.EncodeToString(digest[:16]) }

// PayloadHash is the dead letter's _hash. It depends on the digest alone: the time and the
// index in a request differ between two arrivals, and that is no conflict (B2).
func PayloadHash(digest [sha256.Size]byte) uint64 { return binary.LittleEndian.Uint64(digest[16:]) }

// Cut returns at most limit bytes of raw and whether that is not all. Text is cut between characters.
func Cut(raw []byte, limit int) (kept []byte, truncated bool) {
	if len(raw) <= limit {
		return raw, false
	}
	end := limit
	for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(raw[end]) {
		end--
	}
	return raw[:end], true
}

// Encode returns the value of FieldRaw or of FieldRawBase64, and nil for the other one.
func Encode(raw []byte) (text, encoded []byte) {
	if utf8.Valid(raw) {
		return append(make([]byte, 0, len(raw)), raw...), nil
	}
	return nil, base64.StdEncoding.AppendEncode(nil, raw)
}

// Decode is the reverse of Encode; nil stands for null.
func Decode(text, encoded *string) ([]byte, error) {
	switch {
	case (text == nil) == (encoded == nil):
		return nil, fmt.Errorf("a dead letter has one of %s and %s", FieldRaw, FieldRawBase64)
	case text != nil:
		return []byte(*text), nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(*encoded)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", FieldRawBase64, err)
	}
	return raw, nil
}

// Name is the position of a dead letter in the log.
type Name struct {
	Partition int
	Seq       uint64
	Index     int
}

// ErrName is wrapped by every error of ParseName.
var ErrName = errors.New("not the name of a dead letter")

func (n Name) String() string { return fmt.Sprintf("%d-%d-%d", n.Partition, n.Seq, n.Index) }

// ParseName reads what String wrote, and nothing else.
func ParseName(s string) (n Name, err error) {
	if _, err := fmt.Sscanf(s, "%d-%d-%d", &n.Partition, &n.Seq, &n.Index); err != nil || n.String() != s ||
		n.Partition < 0 || n.Index < 0 {
		return Name{}, fmt.Errorf("%w: %.64q; a name is partition-sequence-index, such as 2-8120-0", ErrName, s)
	}
	return n, nil
}
