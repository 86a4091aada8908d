package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Forgotten is the create-only record that lets publications before Before go, but for the ranges in Kept. It is
// created before the first of them is deleted, so every reader can tell whether a missing publication was
// forgotten or lost. The number only ever rises: of several records the one with the highest Before counts.
//
// The digests keep the chain checkable: those of publications from Before on are chained to the newest, and
// those of a range to its last.
type Forgotten struct {
	Header
	Before   uint64             `json:"before"`   // the first publication that stays; it is a base
	Previous string             `json:"previous"` // Digest of publication Before-1
	Kept     []PublicationRange `json:"kept,omitempty"`
}

// PublicationRange is what a pinned publication needs: its base, and every publication from that on.
type PublicationRange struct {
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`   // the pinned one
	Digest string `json:"digest"` // Digest of Last
}

// ForgottenPrefix is the prefix of all records of forgotten publications.
const ForgottenPrefix = PublicationPrefix + "forgotten/"

// ForgottenKey returns the key of the record that lets publications before n go.
func ForgottenKey(n uint64) string { return fmt.Sprintf("%s%020d.json", ForgottenPrefix, n) }

// NewestForgotten returns the highest number in keys below ForgottenPrefix, or 0 if there are none.
func NewestForgotten(keys []string) (before uint64, err error) {
	for _, k := range keys {
		digits := strings.TrimSuffix(strings.TrimPrefix(k, ForgottenPrefix), ".json")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || ForgottenKey(n) != k {
			return 0, fmt.Errorf("%w: %q is not the key of a record of forgotten publications", ErrInvalid, k)
		}
		before = max(before, n)
	}
	return before, nil
}

// Forgets reports whether publication n is gone on purpose, or may be at any moment. A nil record forgets none.
func (f *Forgotten) Forgets(n uint64) bool {
	return f != nil && n < f.Before &&
		!slices.ContainsFunc(f.Kept, func(r PublicationRange) bool { return r.First <= n && n <= r.Last })
}

// Begins reports whether publication n may come after a gap: the one before it is gone on purpose.
func (f *Forgotten) Begins(n uint64) bool { return n > 1 && f.Forgets(n-1) && !f.Forgets(n) }

// Encode returns the record's bytes in the current format, the same for the same record.
func (f *Forgotten) Encode() ([]byte, error) {
	f.Header = NewHeader()
	return encode(f, f.check())
}

// maxForgotten is the largest record of forgotten publications in bytes.
const maxForgotten = 16 << 20

// DecodeForgotten reads a record of forgotten publications.
func DecodeForgotten(raw []byte) (*Forgotten, error) {
	var f Forgotten
	if err := decode(raw, maxForgotten, &f, &f.Header); err != nil {
		return nil, fmt.Errorf("forgotten publications: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("forgotten publications: %w", err)
	}
	return &f, nil
}

func (f *Forgotten) check() error {
	if f.Before < 2 || f.Previous == "" {
		return fmt.Errorf("%w: forgotten before %d with the digest %q", ErrInvalid, f.Before, f.Previous)
	}
	for _, r := range f.Kept {
		if r.First == 0 || r.First > r.Last || r.Last >= f.Before || r.Digest == "" {
			return fmt.Errorf("%w: kept publications %d to %d before %d", ErrInvalid, r.First, r.Last, f.Before)
		}
	}
	return nil
}
