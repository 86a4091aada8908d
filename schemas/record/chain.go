package record

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"recount/schemas/position"
)

// Chain is a partition's commit chain as far as it has been read. Start with
// NewChain, then Extend it with the record at NextKey until there is none.
type Chain struct {
	Partition  int
	Head       position.Offset // next offset that has not landed
	Tip        string          // Digest of the last record
	Epochs     []position.EpochStart
	Bucket     time.Duration // width of a bucket, fixed by the first record
	Partitions int           // P, fixed by the first record

	Installation string // id of the installation; empty if no seal names one
	Log          string // id of the log that is landed; empty if no seal names one

	Segments []*Commit // the segments that hold events, in order
	Holes    []*Commit // what an operator gave up (C7), in order
	Ends     []End     // where each record ends, in order
	Events   int64
}

// End is the offset at which a commit record ends, and the digest of the record.
type End struct {
	Offset position.Offset
	Digest string
}

// ForkError says that a record follows another record than the chain has in that place. It wraps ErrInvalid.
type ForkError struct {
	Key      string
	Previous string // digest of the record that it names
	Tip      string // digest of the record that the chain has
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("%v: %s names %q as the record before, the chain's is %q", ErrInvalid, e.Key, e.Previous, e.Tip)
}

// Unwrap returns ErrInvalid.
func (e *ForkError) Unwrap() error { return ErrInvalid }

// NewChain returns the chain of a partition before its first record.
func NewChain(partition int) *Chain {
	return &Chain{Partition: partition, Head: position.Offset{Epoch: 0, Seq: position.First}}
}

// NextKey is the key of the record that continues the chain. All creators compete for it.
func (c *Chain) NextKey() string { return CommitKey(c.Head.Epoch, c.Partition, c.Head.Seq) }

// Begun reports whether the chain has its first record.
func (c *Chain) Begun() bool { return c.Tip != "" }

// Extend checks that raw is the record that continues the chain and moves the head past it (V1).
func (c *Chain) Extend(raw []byte) (*Commit, error) {
	r, err := DecodeCommit(raw)
	if err != nil {
		return nil, fmt.Errorf("read commit record %s: %w", c.NextKey(), err)
	}
	const remedy = "restore the commit records of this partition from one copy of the bucket: recount verify names them"
	switch {
	case r.Partition != c.Partition || r.Epoch != c.Head.Epoch || r.Start != c.Head.Seq:
		return nil, fmt.Errorf("%w: %s says partition %d, epoch %d, start %d; %s", ErrInvalid, c.NextKey(), r.Partition,
			r.Epoch, r.Start, remedy)
	case r.Previous != c.Tip:
		return nil, &ForkError{Key: c.NextKey(), Previous: r.Previous, Tip: c.Tip}
	case !c.Begun() && r.Kind != Seal:
		return nil, fmt.Errorf("%w: %s: a chain begins with a seal; %s", ErrInvalid, c.NextKey(), remedy)
	}
	if r.Next != nil {
		if c.Begun() && (r.Next.Bucket != c.Bucket || r.Next.Partitions != c.Partitions) {
			return nil, fmt.Errorf("%w: %s changes the bucket width or the number of partitions; %s", ErrInvalid,
				c.NextKey(), remedy)
		}
		if c.Installation != "" && r.Next.Installation != c.Installation {
			return nil, fmt.Errorf("%w: %s belongs to installation %q, and the records before it to %s; %s", ErrInvalid,
				c.NextKey(), r.Next.Installation, c.Installation, remedy)
		}
		c.Installation = r.Next.Installation
		c.Log = r.Next.Log
		c.Bucket = r.Next.Bucket
		c.Partitions = r.Next.Partitions
		c.Epochs = append(c.Epochs, position.EpochStart{Epoch: r.Next.Epoch, Start: r.Start, Rule: r.Next.Rule})
	}
	r.Previous = c.Tip // It is the same text, which is now in memory once.
	c.Tip = Digest(raw)
	c.Head = r.EndOffset()
	c.Ends = append(c.Ends, End{c.Head, c.Tip})
	if r.Kind == Hole {
		c.Holes = append(c.Holes, r)
	} else if r.Events > 0 {
		c.Segments = append(c.Segments, r)
		c.Events += r.Events
	}
	return r, nil
}

// GivenUp returns the end of the last hole, or 0 without one. The log is not whole below it (C7).
func (c *Chain) GivenUp() uint64 {
	if len(c.Holes) == 0 {
		return 0
	}
	return c.Holes[len(c.Holes)-1].End
}

// HolesBelow returns the holes of the chain below an offset.
func (c *Chain) HolesBelow(seq uint64) (holes []position.Hole) {
	for _, h := range c.Holes {
		if h.End <= seq {
			holes = append(holes, position.Hole{Partition: c.Partition, From: h.Start, To: h.End})
		}
	}
	return holes
}

// Replaced reports whether the log was replaced at the begin of an epoch in (since, until]: an owner found its end
// missing and sealed the epoch (L5), or sealed it for another log (L8). Such a seal keeps the cut rule. A seal that
// changes the rule (C1) leaves the log as it is, and so does a hole (C7).
func (c *Chain) Replaced(since, until uint32) bool {
	for i := 1; i < len(c.Epochs); i++ {
		e := c.Epochs[i]
		hole := slices.ContainsFunc(c.Holes, func(h *Commit) bool { return h.Next.Epoch == e.Epoch })
		if e.Epoch > since && e.Epoch <= until && e.Rule == c.Epochs[i-1].Rule && !hole {
			return true
		}
	}
	return false
}

// Rule is the cut rule in force at the head.
func (c *Chain) Rule() position.CutRule {
	if len(c.Epochs) == 0 {
		return position.CutRule{}
	}
	return c.Epochs[len(c.Epochs)-1].Rule
}

// RecordAt returns the key and the digest of the record that ends at an offset. At the beginning of the
// chain both are empty. It reports false at an offset where no record ends.
func (c *Chain) RecordAt(at position.Offset) (key, digest string, found bool) {
	if at == NewChain(c.Partition).Head {
		return "", "", true
	}
	i, found := slices.BinarySearchFunc(c.Ends, at, func(e End, at position.Offset) int {
		return cmp.Or(cmp.Compare(e.Offset.Epoch, at.Epoch), cmp.Compare(e.Offset.Seq, at.Seq))
	})
	if !found {
		return "", "", false
	}
	start := NewChain(c.Partition).Head
	if i > 0 {
		start = c.Ends[i-1].Offset
	}
	return CommitKey(start.Epoch, c.Partition, start.Seq), c.Ends[i].Digest, true
}

// LastKey returns the key of the last record, or "" before the first.
func (c *Chain) LastKey() string {
	key, _, _ := c.RecordAt(c.Head)
	return key
}
