package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/position"
)

// BucketVersion is the batch view's rows of one bucket: those with this ver in the
// view's ClickHouse table. It is encoded as an array to keep publications small.
type BucketVersion struct {
	Bucket   int64  // bucket start, microseconds since 1970
	Ver      uint64 // version of the rows (B4)
	Rows     int64
	Checksum uint64 // order-free sum of row hashes (B5)
}

// MarshalJSON encodes the version as [bucket, ver, rows, checksum].
func (b BucketVersion) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]", b.Bucket, b.Ver, b.Rows, b.Checksum), nil
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (b *BucketVersion) UnmarshalJSON(raw []byte) error {
	var a []json.Number
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	if len(a) != 4 {
		return fmt.Errorf("%w: a bucket version has 4 numbers, not %d", ErrInvalid, len(a))
	}
	return scan(a, &b.Bucket, &b.Ver, &b.Rows, &b.Checksum)
}

// BucketCount is what deduplication found in one bucket of an event type. It is
// encoded as an array.
type BucketCount struct {
	Bucket     int64 // bucket start, microseconds since 1970
	Rows       int64 // landed rows
	Duplicates int64 // of those, dropped as copies (B2), conflicting ones included
	Conflicts  int64 // of those, copies with another payload
}

// MarshalJSON encodes the count as [bucket, rows, duplicates, conflicts].
func (b BucketCount) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]", b.Bucket, b.Rows, b.Duplicates, b.Conflicts), nil
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (b *BucketCount) UnmarshalJSON(raw []byte) error {
	var a []json.Number
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	if len(a) != 4 {
		return fmt.Errorf("%w: a bucket count has 4 numbers, not %d", ErrInvalid, len(a))
	}
	return scan(a, &b.Bucket, &b.Rows, &b.Duplicates, &b.Conflicts)
}

func scan(a []json.Number, to ...any) error {
	for i, p := range to {
		if err := json.Unmarshal([]byte(a[i]), p); err != nil {
			return fmt.Errorf("%w: %q", ErrInvalid, a[i])
		}
	}
	return nil
}

// CurrentReading is how rows follow from stored events. Since 1, a field counts for the events that came before it was
// declared (I7). Since 2, values overflow by Publication.Limit and not by what ingest decided (B7). A view that was
// published with another reading is computed anew.
const CurrentReading = OverflowReading

// OverflowReading is the first reading in which the batch layer decides which values overflow.
const OverflowReading = 2

// PublishedView is the batch view of one view in a publication: the changed
// buckets, or all of them when the publication is a base or the view was redefined.
type PublishedView struct {
	Digest  string          `json:"digest"` // catalog.Catalog.Digest
	Full    bool            `json:"full,omitempty"`
	Reading int             `json:"reading,omitempty"` // CurrentReading of the program; 0 in old records
	Buckets []BucketVersion `json:"buckets,omitempty"` // ascending by bucket

	// Fill says down to where the view is filled. It is nil if the view has all of its history. Every publication
	// states it, a delta too.
	Fill *Fill `json:"fill,omitempty"`

	// Unconverted counts the events that had a value which the type of its field, as it was declared, cannot hold
	// (package conversion). It lists recomputed buckets.
	Unconverted []BucketEvents `json:"unconverted,omitempty"` // ascending by bucket, then tenant

	// Retired counts the events that the rows lack, because objects of the type are retired. It lists buckets whose
	// count differs from the publication before.
	Retired []BucketEvents `json:"retired,omitempty"` // ascending by bucket, then tenant

	// Overflowed counts the events of which a value was beyond the limit. It lists recomputed buckets.
	Overflowed []BucketEvents `json:"overflowed,omitempty"` // ascending by bucket, then tenant
}

// Fill says down to where a view is filled whose history is computed in steps (B8), and what is left.
type Fill struct {
	From    int64 `json:"from"`    // the lowest bucket that is filled, microseconds since 1970; all later ones are, too
	Buckets int   `json:"buckets"` // buckets with events before From
	Rows    int64 `json:"rows"`    // landed events in these, copies included
}

// BucketEvents is a number of events of a tenant in a bucket. Zero events replace an earlier number.
type BucketEvents struct {
	Bucket int64  `json:"bucket"` // bucket start, microseconds since 1970
	Tenant string `json:"tenant"`
	Events int64  `json:"events"`
}

// CompareBucketEvents orders by bucket, then tenant.
func CompareBucketEvents(a, b BucketEvents) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Tenant, b.Tenant))
}

// Publication is the immutable record that makes rows count (P1). H advances for
// all partitions at once. Views lists every view there is a batch view of.
type Publication struct {
	Header
	N        uint64                    `json:"n"`
	Previous string                    `json:"previous"` // Digest of publication n-1; empty in the first
	H        []position.Offset         `json:"h"`
	Tips     []string                  `json:"tips"` // Digest of the commit record that ends at H, per partition
	Base     bool                      `json:"base,omitempty"`
	Views    map[string]*PublishedView `json:"views"`
	Types    map[string][]BucketCount  `json:"types,omitempty"`   // changed buckets, all in a base; ascending
	Ledgers  map[string]*Ledger        `json:"ledgers,omitempty"` // by event type; of all there is in a base
	Events   int64                     `json:"events"`            // landed events below H
	Code     string                    `json:"code"`              // version of the program
	Attempt  string                    `json:"attempt"`
	Created  time.Time                 `json:"created"`

	Installation string `json:"installation,omitempty"` // id of the installation; empty in old records

	// Generation is the generation of the catalog that the views are of (G4); 0 in old records.
	Generation uint64 `json:"generation,omitempty"`

	Holes []position.Hole `json:"holes,omitempty"` // all holes below H (C7), by partition and offset

	// Limit is how many values a dimension of a view may have from a tenant in a bucket (B7). 0 means any number.
	Limit int `json:"limit,omitempty"`

	// Copies is the version of the rule by which copies were found: 0, or CopiesByPosition.
	Copies int `json:"copies,omitempty"`
}

// CopiesByPosition is the version of I3 in which the lowest position counts. In version 0 the copy in the earlier
// bucket counted, so it depended on later messages which one did.
const CopiesByPosition = 1

// MaxPublication is the largest publication in bytes: 256 views of 20 years of hours.
const MaxPublication = 1 << 30

// BaseEvery is how often a publication lists every bucket again, so that reading
// one never takes more than this many records.
const BaseEvery = 32

// PublicationPrefix is the prefix of all publications.
const PublicationPrefix = "publish/"

// PublicationKey returns the key of publication n (P2).
func PublicationKey(n uint64) string { return fmt.Sprintf("%s%020d.json", PublicationPrefix, n) }

// PublicationNumber returns the number of the publication whose record has the key. Other records below
// PublicationPrefix have none.
func PublicationNumber(key string) (n uint64, ok bool) {
	digits := strings.TrimSuffix(strings.TrimPrefix(key, PublicationPrefix), ".json")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && PublicationKey(n) == key
}

// Encode returns the publication's bytes in the current format, the same for the same publication.
func (p *Publication) Encode() ([]byte, error) {
	p.Header = NewHeader()
	for _, v := range p.Views {
		if v != nil && v.Fill != nil {
			p.Requires = []string{RequiresFill}
		}
	}
	return encode(p, p.check())
}

// DecodePublication reads a publication: trailing bytes and inconsistent lists are errors.
func DecodePublication(raw []byte) (*Publication, error) {
	var p Publication
	if err := decode(raw, MaxPublication, &p, &p.Header); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	return &p, nil
}

func (p *Publication) check() error {
	if p.N == 0 || len(p.H) == 0 || len(p.H) != len(p.Tips) || p.Views == nil {
		return fmt.Errorf("%w: publication %d with %d partitions and %d tips", ErrInvalid, p.N, len(p.H), len(p.Tips))
	}
	for name, v := range p.Views {
		if v == nil || !slices.IsSortedFunc(v.Buckets,
			func(a, b BucketVersion) int { return compareStrict(a.Bucket, b.Bucket) }) {
			return fmt.Errorf("%w: view %s: buckets are not ascending", ErrInvalid, name)
		}
		if f := v.Fill; f != nil && (f.Buckets < 1 || f.Rows < int64(f.Buckets) ||
			len(v.Buckets) > 0 && v.Buckets[0].Bucket < f.From) {
			return fmt.Errorf("%w: view %s: fill %+v", ErrInvalid, name, *f)
		}
		if !slices.IsSortedFunc(v.Unconverted, CompareBucketEvents) {
			return fmt.Errorf("%w: view %s: unconverted events are not ascending", ErrInvalid, name)
		}
		if !slices.IsSortedFunc(v.Retired, CompareBucketEvents) {
			return fmt.Errorf("%w: view %s: retired events are not ascending", ErrInvalid, name)
		}
		if !slices.IsSortedFunc(v.Overflowed, CompareBucketEvents) {
			return fmt.Errorf("%w: view %s: overflowed events are not ascending", ErrInvalid, name)
		}
	}
	for name, t := range p.Types {
		if !slices.IsSortedFunc(t, func(a, b BucketCount) int { return compareStrict(a.Bucket, b.Bucket) }) {
			return fmt.Errorf("%w: type %s: buckets are not ascending", ErrInvalid, name)
		}
	}
	for name, l := range p.Ledgers {
		if err := l.check(len(p.H)); err != nil {
			return fmt.Errorf("type %s: %w", name, err)
		}
	}
	return nil
}

// compareStrict calls equal values descending, so that IsSortedFunc refuses duplicates.
func compareStrict(a, b int64) int {
	if a > b {
		return 1
	}
	return -1
}
