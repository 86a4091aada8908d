package ingest

import (
	"bytes"
	"crypto/sha256"
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
	// unnamedReceipts is the version of receipts that do not name their installation. Older programs wrote them.
	unnamedReceipts = 1
	receiptVersion  = 2
	// nameBytes is how many bytes of the digest of an installation's id a receipt has. Two installations have the
	// same ones once in four billion.
	nameBytes = 4
	// maxReceipt is the longest receipt that is decoded, in characters.
	maxReceipt = 1 << 20
)

// ErrReceipt is wrapped by every error of DecodeReceipt.
var ErrReceipt = errors.New("not a receipt")

// foreignError is about a receipt that another installation gave.
type foreignError struct{}

func (foreignError) Error() string {
	return "it is of another installation; ask the server that gave it"
}

// Unwrap makes it an ErrReceipt, whose text would be wrong here.
func (foreignError) Unwrap() error { return ErrReceipt }

// nameOf returns the bytes by which receipts name an installation.
func nameOf(installation string) []byte {
	digest := sha256.Sum256([]byte(installation))
	return digest[:nameBytes]
}

// appendReceipt appends the token for places to dst: the version byte, the installation's name and five varints for
// each place, as base64url without padding.
func appendReceipt(dst, name []byte, places []Place) []byte {
	b := append(make([]byte, 0, 1+nameBytes+16*len(places)), receiptVersion)
	b = append(b, name...)
	for _, p := range places {
		b = binary.AppendUvarint(b, uint64(p.Partition))
		b = binary.AppendUvarint(b, uint64(p.Epoch))
		b = binary.AppendUvarint(b, p.Seq)
		b = binary.AppendUvarint(b, uint64(p.First))
		b = binary.AppendUvarint(b, uint64(p.Count))
	}
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// DecodeReceipt returns the places that a receipt of an installation names. Errors wrap ErrReceipt. An empty id accepts
// receipts of all installations.
func DecodeReceipt(token, installation string) ([]Place, error) {
	if len(token) > maxReceipt {
		return nil, fmt.Errorf("%w: it has %d characters; a receipt has at most %d", ErrReceipt, len(token), maxReceipt)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty or not base64url", ErrReceipt)
	}
	version := b[0]
	b = b[1:]
	switch {
	case version != receiptVersion && version != unnamedReceipts:
		return nil, fmt.Errorf("%w: it has version %d; this program reads versions %d and %d", ErrReceipt, version,
			unnamedReceipts, receiptVersion)
	case version == unnamedReceipts:
	case len(b) < nameBytes:
		return nil, fmt.Errorf("%w: it is cut off", ErrReceipt)
	default:
		if installation != "" && !bytes.Equal(b[:nameBytes], nameOf(installation)) {
			return nil, foreignError{}
		}
		b = b[nameBytes:]
	}
	var places []Place
	for len(b) > 0 {
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
