package janitor

import (
	"context"
	"fmt"

	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// Start says where the real-time views of a partition begin, oldestKept being H of the
// oldest kept publication.
func Start(ctx context.Context, log Log, c *record.Chain, oldestKept position.Offset) (realtime.PartitionStart, error) {
	first, next, err := log.Bounds(ctx, c.Partition)
	return realtime.PartitionStart{Epochs: c.Epochs, OldestKept: oldestKept.Seq, ReplayFrom: ReplayFrom(c, first),
		LogNext: next}, err
}

// Renewal keeps a running process up with the epochs that other owners begin (L5, C1): until
// its real-time views count by them too, they give nothing for newer publications.
type Renewal struct {
	Log    Log
	Marks  *Marks
	Views  *realtime.Views
	Chains func(context.Context) ([]*record.Chain, error) // as the store has them now
}

// Renew begins the partitions anew of which any of seen, heads and cuts of publications,
// shows a later epoch than the views know of. It returns them.
func (r Renewal) Renew(ctx context.Context, oldestKept []position.Offset, seen ...[]position.Offset) (renewed []int,
	err error) {
	var chains []*record.Chain
	for p, st := range r.Views.Status() {
		later := false
		for _, s := range seen {
			later = later || s[p].Epoch > st.Epoch
		}
		if !later {
			continue
		}
		if chains == nil {
			if chains, err = r.Chains(ctx); err != nil {
				return renewed, err
			}
		}
		start, err := Start(ctx, r.Log, chains[p], oldestKept[p])
		if err == nil {
			err = r.Views.Renew(p, start)
		}
		if err != nil {
			return renewed, fmt.Errorf("partition %d: %w", p, err)
		}
		r.Marks.renew(p, chains[p].Head.Epoch)
		renewed = append(renewed, p)
	}
	return renewed, nil
}
