package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"recount/schemas/openapi"
	"recount/schemas/record"
)

// Place is where events of a request are in the log: Count events, from the position on.
type Place struct {
	openapi.Position
	Count int
}

// Receipt says how far the messages of a request have come. It reads no event, so it needs no tenant: the offsets that
// it compares are in every answer to a query.
func (s *Store) Receipt(ctx context.Context, places []Place) (*openapi.Receipt, error) {
	state, err := s.cfg.Newest(ctx)
	if err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	out := &openapi.Receipt{Publication: state.N, Places: []openapi.ReceiptPlace{}}
	nexts := map[int]uint64{}
	for _, p := range places {
		at := openapi.ReceiptPlace{Position: p.Position, Count: p.Count, State: openapi.ReceiptUnknown}
		out.Events += p.Count
		if p.Partition >= 0 && p.Partition < len(chains) {
			chain := chains[p.Partition]
			if _, known := nexts[p.Partition]; !known {
				if _, nexts[p.Partition], err = s.cfg.Log.Bounds(ctx, p.Partition); err != nil {
					return nil, err
				}
			}
			segment := segmentAt(chain.Segments, p.Sequence)
			switch {
			case segmentAt(chain.Holes, p.Sequence) != nil:
				at.State = openapi.ReceiptGivenUp
			case segment != nil && isSameLog(chain, p.Epoch, segment.Epoch):
				at.State = openapi.ReceiptLanded
				at.Landed = segment.Created
				if below(p.Position, state.H[p.Partition]) {
					at.State = openapi.ReceiptPublished
				}
			case segment == nil && p.Sequence >= chain.Head.Seq && p.Sequence < nexts[p.Partition] &&
				isSameLog(chain, p.Epoch, chain.Head.Epoch):
				at.State = openapi.ReceiptLogged
			}
		}
		out.Places = append(out.Places, at)
	}
	return out, nil
}

// isSameLog reports whether a message that was acknowledged in an epoch is the one that has its sequence in a later
// epoch, in which it landed or would land. A seal that changes the cut rule leaves the messages of the log as they
// are.
func isSameLog(c *record.Chain, acknowledged, later uint32) bool {
	return acknowledged <= later && !c.Replaced(acknowledged, later)
}

// segmentAt returns the record whose range holds the message, or nil.
func segmentAt(records []*record.Commit, seq uint64) *record.Commit {
	i, _ := slices.BinarySearchFunc(records, seq,
		func(c *record.Commit, seq uint64) int { return cmp.Compare(c.End, seq+1) })
	if i == len(records) || records[i].Start > seq {
		return nil
	}
	return records[i]
}
