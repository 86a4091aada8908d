package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

// ErrInvalid is wrapped by every error about a record that is not what it should be.
var ErrInvalid = errors.New("invalid record")

// Kind is what a commit record says of its range.
type Kind string

// The kinds of commit records.
const (
	Segment Kind = "segment" // the range has landed
	Seal    Kind = "seal"    // the epoch ends here and the next begins (L5); the range is empty
	Hole    Kind = "hole"    // an operator gave the range up, and the next epoch begins (C7)
)

// BucketRows is a run of an object's rows that lie in one bucket. Runs stand in
// file order, so a run's first row is the sum of the rows before it.
type BucketRows struct {
	Bucket   int64 `json:"bucket"`             // bucket start, microseconds since 1970
	Rows     int64 `json:"rows"`               // rows of the run
	Assigned int64 `json:"assigned,omitempty"` // of those, events whose time the server assigned (I3)
}

// Object is a Parquet object of a segment: all its events of one type, ordered by event time, then position.
type Object struct {
	Type   string `json:"type"`
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Digest string `json:"digest"` // logical digest of position, id and payload hash of every row (C8)
	Rows   int64  `json:"rows"`
	Schema string `json:"schema"` // catalog.EventType.SchemaID

	// Uniform says that no event has one of the object's columns among its undeclared fields: all came under the same
	// declared fields, and none has eventbatch.FlagUndeclaredValue. Objects of older programs do not say it.
	Uniform bool `json:"uniform,omitempty"`

	Tenants map[string]int64 `json:"tenants,omitempty"` // rows of each tenant
	Buckets []BucketRows     `json:"buckets"`
}

// Next is how a seal or a hole opens the next epoch. The first record of a partition's
// chain is the seal of epoch 0 and fixes what may never change while data exists.
type Next struct {
	Epoch      uint32           `json:"epoch"`
	Rule       position.CutRule `json:"rule"`
	Bucket     time.Duration    `json:"bucket"`     // width of a bucket in every histogram
	Partitions int              `json:"partitions"` // P (L3)

	// Installation is the id of the installation, and Log that of the log that the epoch counts. Both are
	// empty in records from before there were ids.
	Installation string `json:"installation,omitempty"`
	Log          string `json:"log,omitempty"`
}

// Commit is one record of a partition's commit chain (C3).
type Commit struct {
	Header
	Kind      Kind             `json:"kind"`
	Epoch     uint32           `json:"epoch"`
	Partition int              `json:"partition"`
	Start     uint64           `json:"start"`
	End       uint64           `json:"end"`
	Events    int64            `json:"events"`
	Objects   []Object         `json:"objects,omitempty"`
	Tenants   map[string]int64 `json:"tenants,omitempty"` // events of each tenant, of all objects
	Next      *Next            `json:"next,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Attempt   string           `json:"attempt"`
	Created   time.Time        `json:"created"`
	Previous  string           `json:"previous"` // Digest of the record before; empty in the first
}

// MaxCommit is the largest commit record in bytes: replayed history may touch many thousand buckets.
const MaxCommit = 64 << 20

// CommitPrefix is the prefix of a partition's records in all epochs' order.
func CommitPrefix(epoch uint32, partition int) string {
	if failpoint.Off(failpoint.C3) {
		epoch = 0
	}
	return fmt.Sprintf("land/e%06d/p%03d/", epoch, partition)
}

// CommitKey returns the key of the record that starts at start (C3).
func CommitKey(epoch uint32, partition int, start uint64) string {
	return fmt.Sprintf("%s%020d.json", CommitPrefix(epoch, partition), start)
}

// CheckpointPrefix is the prefix of the copies of a partition's records, many in one.
func CheckpointPrefix(partition int) string { return fmt.Sprintf("chain/p%03d/", partition) }

// Digest is the hex SHA-256 of a record's bytes, as Previous names it.
func Digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Encode returns the record's bytes in the current format, the same for the same record.
func (c *Commit) Encode() ([]byte, error) {
	c.Header = NewHeader()
	return encode(c, c.check())
}

// DecodeCommit reads a commit record: trailing bytes and inconsistent counts are errors.
func DecodeCommit(raw []byte) (*Commit, error) {
	var c Commit
	if err := decode(raw, MaxCommit, &c, &c.Header); err != nil {
		return nil, fmt.Errorf("commit record: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("commit record: %w", err)
	}
	return &c, nil
}

func (c *Commit) check() error {
	var events int64
	for _, o := range c.Objects {
		if err := o.check(); err != nil {
			return err
		}
		events += o.Rows
	}
	switch {
	case c.Start < position.First || c.End < c.Start || c.Partition < 0:
		return fmt.Errorf("%w: range [%d, %d) of partition %d", ErrInvalid, c.Start, c.End, c.Partition)
	case c.Kind == Segment && (c.End == c.Start || c.Next != nil || events != c.Events):
		return fmt.Errorf("%w: segment [%d, %d) with %d events, objects hold %d", ErrInvalid, c.Start, c.End, c.Events,
			events)
	case c.Kind == Seal && (c.End != c.Start || !c.opensNext() || len(c.Objects) > 0):
		return fmt.Errorf("%w: seal at %d of epoch %d", ErrInvalid, c.Start, c.Epoch)
	case c.Kind == Hole && (c.End == c.Start || c.Reason == "" || !c.opensNext() || len(c.Objects) > 0):
		return fmt.Errorf("%w: hole [%d, %d) needs a range, a reason and the next epoch", ErrInvalid, c.Start, c.End)
	case c.Kind != Segment && c.Kind != Seal && c.Kind != Hole:
		return fmt.Errorf("%w: kind %q", ErrInvalid, c.Kind)
	}
	return nil
}

// opensNext reports whether the record opens the epoch after its own.
func (c *Commit) opensNext() bool { return c.Next != nil && c.Next.Epoch == c.Epoch+1 }

// EndOffset is the offset at which the record ends. After a seal or a hole it is in the next epoch.
func (c *Commit) EndOffset() position.Offset {
	if c.Next != nil {
		return position.Offset{Epoch: c.Next.Epoch, Seq: c.End}
	}
	return position.Offset{Epoch: c.Epoch, Seq: c.End}
}

func (o *Object) check() error {
	var rows int64
	for i, b := range o.Buckets {
		if b.Rows <= 0 || b.Assigned < 0 || b.Assigned > b.Rows || i > 0 && b.Bucket <= o.Buckets[i-1].Bucket {
			return fmt.Errorf("%w: object %s: bucket run %d: %+v", ErrInvalid, o.Key, i, b)
		}
		rows += b.Rows
	}
	if rows != o.Rows || rows == 0 || o.Type == "" || o.Key == "" || o.Size <= 0 {
		return fmt.Errorf("%w: object %q of type %q: %d rows, buckets hold %d", ErrInvalid, o.Key, o.Type, o.Rows, rows)
	}
	return nil
}

func encode(v any, check error) ([]byte, error) {
	if check != nil {
		return nil, check
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return raw, nil
}

// decode reads raw into a record, whose header is header.
func decode(raw []byte, limit int, into any, header *Header) error {
	if len(raw) > limit {
		return fmt.Errorf("%w: %d bytes; at most %d", ErrInvalid, len(raw), limit)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(into); err != nil {
		if later := checkHeader(raw); later != nil {
			return later
		}
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Decoder.More would not do: it takes a closing bracket after the record for the end of an outer value.
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: bytes after the record", ErrInvalid)
	}
	return header.Check()
}
