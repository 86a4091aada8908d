package janitor

import (
	"context"
	"errors"
	"fmt"

	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/realtime"
)

// Start returns where the real-time views of a partition begin. oldestKept is H of the oldest kept
// publication.
func Start(ctx context.Context, log Log, c *record.Chain, oldestKept position.Offset) (realtime.PartitionStart, error) {
	first, next, err := log.Bounds(ctx, c.Partition)
	return realtime.PartitionStart{Epochs: c.Epochs, OldestKept: oldestKept.Seq, ReplayFrom: ReplayFrom(c, first),
		LogNext: next}, err
}

// Renewal lets a running process follow the epochs that other owners begin (L5, C1). Its real-time
// views give nothing for a publication of a later epoch until they know that epoch.
type Renewal struct {
	Log    Log
	Marks  *Marks
	Views  *realtime.Views
	Chains func(context.Context) ([]*record.Chain, error) // reads the chains as they are stored now
}

// Renew begins a partition again if any offset of seen has a later epoch than the views know. seen are
// heads of chains and cuts of publications. Renew returns the partitions that it renewed. An error of one partition
// does not keep it from renewing the others.
func (r Renewal) Renew(ctx context.Context, oldestKept []position.Offset, seen ...[]position.Offset) (renewed []int,
	err error) {
	var chains []*record.Chain
	var errs []error
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
		start.LogLost = start.LogNext < st.Known
		if err == nil {
			err = r.Views.Renew(p, start)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("partition %d: %w", p, err))
			continue
		}
		r.Marks.setEpoch(p, chains[p].Head.Epoch)
		renewed = append(renewed, p)
	}
	return renewed, errors.Join(errs...)
}
