package landing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Hole is a range of a partition's log that an operator gives up (C7): the messages [From, To).
type Hole struct {
	From, To uint64
	Reason   string // what happened to the messages, in the operator's words
}

// ErrRefused is wrapped by the error of a hole that must not be made.
var ErrRefused = errors.New("the range cannot be given up")

// GivenUpError says that an earlier hole holds the whole range, so nothing is left to do.
type GivenUpError struct{ Hole *record.Commit }

func (e *GivenUpError) Error() string {
	return fmt.Sprintf("messages [%d, %d) were given up at %s: %s", e.Hole.Start, e.Hole.End,
		e.Hole.Created.UTC().Format(time.RFC3339), e.Hole.Reason)
}

// checkGivenUp returns *GivenUpError if a hole of the chain holds the whole range, and ErrRefused if one holds a part.
func checkGivenUp(chain *record.Chain, hole Hole) error {
	for _, h := range chain.Holes {
		earlier := &GivenUpError{h}
		switch {
		case h.Start <= hole.From && hole.To <= h.End:
			return earlier
		case hole.From < h.End && chain.Head.Seq < hole.To:
			return fmt.Errorf("%w: %w; name only the messages from %d on", ErrRefused, earlier, chain.Head.Seq)
		}
	}
	return nil
}

// GiveUp lands the messages before a hole, and creates the hole's record, which leads every lander past
// it. The record also opens the next epoch, so real-time views that had counted messages of the hole
// begin again. After an error GiveUp may be called again.
//
// It returns *GivenUpError if the range was given up before. It refuses a range that has landed, of which
// readable finds a message, or before which a message cannot be read, and a chain that lacks records (C10). The
// messages before the hole land as one more segment than the cut rule gives (C1). No view asks for its end, because
// all views begin again.
func GiveUp(ctx context.Context, cfg Config, chain *record.Chain, hole Hole, source Source, records record.CommitLog,
	objects Objects, readable func(ctx context.Context, seq uint64) (bool, error)) error {
	if hole.From >= hole.To || hole.Reason == "" {
		return fmt.Errorf("%w: [%d, %d) needs a message and a reason", ErrRefused, hole.From, hole.To)
	}
	if err := checkGivenUp(chain, hole); err != nil {
		return err
	}
	if hole.From < chain.Head.Seq {
		return fmt.Errorf("%w: everything below message %d has landed or was given up", ErrRefused, chain.Head.Seq)
	}
	for seq := hole.From; seq < hole.To; seq++ {
		found, err := readable(ctx, seq)
		if err != nil {
			return fmt.Errorf("look for message %d: %w", seq, err)
		}
		if found {
			return fmt.Errorf("%w: message %d can be read", ErrRefused, seq)
		}
	}
	l, err := New(cfg, []*record.Chain{chain}, source, records, objects)
	if err != nil {
		return err
	}
	return l.partitions[0].giveUp(ctx, hole)
}

// giveUp is GiveUp for a range that was checked.
func (p *partition) giveUp(ctx context.Context, hole Hole) error {
	newest, newestErr := p.cfg.Published(ctx)
	if err := Extend(ctx, p.records, p.chain); err != nil {
		return err
	}
	if err := checkPublished(newest, newestErr, p.chain); err != nil {
		return err
	}
	err := errMoved
	for errors.Is(err, errMoved) && p.chain.Head.Seq < hole.From {
		err = p.follow(ctx, hole.From)
	}
	switch {
	case errors.Is(err, position.ErrGap) || errors.Is(err, position.ErrTrimmed) ||
		errors.Is(err, eventbatch.ErrCorrupt):
		return fmt.Errorf("%w: a message before it cannot be read either, begin there: %w", ErrRefused, err)
	case err != nil && !errors.Is(err, errMoved):
		return fmt.Errorf("land the messages before %d: %w", hole.From, err)
	}
	c := p.chain
	if c.Head.Seq != hole.From {
		return fmt.Errorf("%w: another process has landed everything below message %d", ErrRefused, c.Head.Seq)
	}
	next := &record.Next{Epoch: c.Head.Epoch + 1, Rule: c.Rule(), Bucket: c.Bucket, Partitions: c.Partitions,
		Installation: c.Installation, Log: c.Log}
	mine, err := createRecord(ctx, p.records, c, &record.Commit{Kind: record.Hole, Epoch: c.Head.Epoch, Partition: p.id,
		Start: hole.From, End: hole.To, Next: next, Reason: hole.Reason, Previous: c.Tip})
	if err == nil && !mine {
		err = fmt.Errorf("%w: another process has landed everything below message %d", ErrRefused, c.Head.Seq)
	}
	return err
}
