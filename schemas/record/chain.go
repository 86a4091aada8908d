package record

import (
	"fmt"
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
	Segments   []*Commit     // the segments that hold events, in order
	Holes      []*Commit     // what an operator gave up (C7), in order
	Events     int64
}

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
		return nil, err
	}
	switch {
	case r.Partition != c.Partition || r.Epoch != c.Head.Epoch || r.Start != c.Head.Seq:
		return nil, fmt.Errorf("%w: %s says partition %d, epoch %d, start %d", ErrInvalid, c.NextKey(), r.Partition,
			r.Epoch, r.Start)
	case r.Previous != c.Tip:
		return nil, fmt.Errorf("%w: %s names %q as the record before, the chain's is %q", ErrInvalid, c.NextKey(),
			r.Previous, c.Tip)
	case !c.Begun() && r.Kind != Seal:
		return nil, fmt.Errorf("%w: %s: a chain begins with a seal", ErrInvalid, c.NextKey())
	}
	if r.Kind == Seal {
		if c.Begun() && (r.Next.Bucket != c.Bucket || r.Next.Partitions != c.Partitions) {
			return nil, fmt.Errorf("%w: %s changes the bucket width or the number of partitions", ErrInvalid,
				c.NextKey())
		}
		c.Bucket = r.Next.Bucket
		c.Partitions = r.Next.Partitions
		c.Epochs = append(c.Epochs, position.EpochStart{Epoch: r.Next.Epoch, Start: r.End, Rule: r.Next.Rule})
	}
	c.Tip = Digest(raw)
	c.Head.Seq = r.End
	if r.Kind == Seal {
		c.Head.Epoch = r.Next.Epoch
	}
	if r.Kind == Hole {
		c.Holes = append(c.Holes, r)
	} else if r.Events > 0 {
		c.Segments = append(c.Segments, r)
		c.Events += r.Events
	}
	return r, nil
}

// Rule is the cut rule in force at the head.
func (c *Chain) Rule() position.CutRule {
	if len(c.Epochs) == 0 {
		return position.CutRule{}
	}
	return c.Epochs[len(c.Epochs)-1].Rule
}
