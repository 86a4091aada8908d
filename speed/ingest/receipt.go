package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Place is where events of a request are in the log: Count events, from index First on, of the
// message at (Epoch, Seq) of Partition.
type Place struct {
	Partition int
	Epoch     uint32
	Seq       uint64
	First     int
	Count     int
}

const (
	receiptVersion = 1
	// maxReceipt is the longest receipt that is decoded, in characters.
	maxReceipt = 1 << 20
)

// ErrReceipt is wrapped by every error of DecodeReceipt.
var ErrReceipt = errors.New("not a receipt")

// appendReceipt appends the token for places to dst: the version byte and five varints for each
// place, as base64url without padding.
func appendReceipt(dst []byte, places []Place) []byte {
	b := make([]byte, 1, 1+16*len(places))
	b[0] = receiptVersion
	for _, p := range places {
		b = binary.AppendUvarint(b, uint64(p.Partition))
		b = binary.AppendUvarint(b, uint64(p.Epoch))
		b = binary.AppendUvarint(b, p.Seq)
		b = binary.AppendUvarint(b, uint64(p.First))
		b = binary.AppendUvarint(b, uint64(p.Count))
	}
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// DecodeReceipt returns the places that a receipt names. Errors wrap ErrReceipt.
func DecodeReceipt(token string) ([]Place, error) {
	if len(token) > maxReceipt {
		return nil, fmt.Errorf("%w: it has %d characters; a receipt has at most %d", ErrReceipt, len(token), maxReceipt)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty or not base64url", ErrReceipt)
	}
	if b[0] != receiptVersion {
		return nil, fmt.Errorf("%w: it has version %d; this program reads version %d", ErrReceipt, b[0], receiptVersion)
	}
	var places []Place
	for b = b[1:]; len(b) > 0; {
		var v [5]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(b); n <= 0 || i != 2 && v[i] > 1<<31 {
				return nil, fmt.Errorf("%w: place %d is cut off or out of range", ErrReceipt, len(places))
			}
			b = b[n:]
		}
		places = append(places, Place{Partition: int(v[0]), Epoch: uint32(v[1]), Seq: v[2], First: int(v[3]),
			Count: int(v[4])})
	}
	return places, nil
}
