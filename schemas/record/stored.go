package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by the error about stored bytes that are not the bytes that were written.
// They were changed on the way, and another read mends that; or in the store, and only a copy does.
// ErrCorrupt is not ErrInvalid, because a corrupt record says nothing, and so nothing false.
var ErrCorrupt = errors.New("corrupt record")

// The chain alone does not protect a record: the digest of the last one is in no other. A
// reader that took a flipped digit for the truth would write the next record after a tip that
// nobody else has. The digest is a line after the record instead of a member of it, so that
// every record has it, whatever package defines the record.
const (
	digestHead = `{"sha256":"`
	digestTail = "\"}\n"
	digestLine = len(digestHead) + 2*sha256.Size + len(digestTail)
)

// WithDigest returns the bytes to store for a record.
func WithDigest(raw []byte) []byte {
	stored := make([]byte, 0, len(raw)+1+digestLine)
	stored = append(append(stored, raw...), '\n')
	return fmt.Appendf(stored, "%s%s%s", digestHead, Digest(raw), digestTail)
}

// CheckDigest returns the record in stored bytes.
func CheckDigest(stored []byte) ([]byte, error) {
	end := len(stored) - digestLine
	if end < 1 || stored[end-1] != '\n' {
		return nil, fmt.Errorf("%w: %d bytes without a digest at their end", ErrCorrupt, len(stored))
	}
	raw := stored[: end-1 : end-1]
	line := stored[end:]
	said, ok := bytes.CutPrefix(line, []byte(digestHead))
	said, ended := bytes.CutSuffix(said, []byte(digestTail))
	if sum := sha256.Sum256(raw); !ok || !ended || hex.EncodeToString(sum[:]) != string(said) {
		return nil, fmt.Errorf("%w: the digest of its %d bytes is %x and it says %q", ErrCorrupt, len(raw), sum, said)
	}
	return raw, nil
}
