package record

import (
	"errors"
	"fmt"
)

// ErrMissing is wrapped by the error about a store that lacks records it must have had, or that holds
// others in their place. Nothing lands, is sealed, published or deleted then: a record that is created in place of a
// missing one forks its chain, and what missing records name looks like garbage (C10, P2, P3).
var ErrMissing = errors.New("the object store lacks records")

// CheckChain returns an error that wraps ErrMissing unless a chain reaches the publication's H in its
// partition over the record that the publication names. A nil publication, which is the state before the first,
// covers nothing.
func (p *Publication) CheckChain(c *Chain) error {
	if p == nil {
		return nil
	}
	if c.Partition >= len(p.H) {
		return fmt.Errorf("%w: publication %d does not have partition %d", ErrInvalid, p.N, c.Partition)
	}
	h := p.H[c.Partition]
	tip := p.Tips[c.Partition]
	key, digest, found := c.RecordAt(h)
	switch {
	case c.Head.Seq < h.Seq || c.Head.Epoch < h.Epoch:
		return fmt.Errorf("%w: partition %d: the commit chain ends at %v, but publication %d covers the partition "+
			"up to %v; restore the commit records that are missing, %s and later ones, from a copy of the bucket",
			ErrMissing, c.Partition, c.Head, p.N, h, c.NextKey())
	case !found:
		return fmt.Errorf("%w: partition %d: no commit record ends at %v, up to where publication %d covers the "+
			"partition; this is not the commit chain that was published; restore its commit records from a copy of "+
			"the bucket", ErrMissing, c.Partition, h, p.N)
	case digest != tip:
		return fmt.Errorf("%w: partition %d: %s has the digest %.12s…, but publication %d names %.12s… for it; "+
			"the record was replaced; restore it and earlier ones from a copy of the bucket, or, if they are lost for "+
			"ever, move publish/, jobs/recompute/ and ClickHouse's data away: everything in the lake is computed "+
			"again, under numbers from 1",
			ErrMissing, c.Partition, key, digest, p.N, tip)
	}
	return nil
}
