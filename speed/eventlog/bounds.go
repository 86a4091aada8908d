package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

// Message is one message of a partition.
type Message struct {
	Seq    uint64
	Data   []byte    // the frame; the receiver owns it
	Stored time.Time // the server's clock when it stored the message
}

// Bounds returns the first sequence a partition still has and the next it will assign.
// They are equal when it holds nothing.
func (l *Log) Bounds(ctx context.Context, partition int) (first, next uint64, err error) {
	s, err := l.state(ctx, partition)
	if err != nil {
		return 0, 0, err
	}
	return max(s.FirstSeq, 1), s.LastSeq + 1, nil
}

func (l *Log) state(ctx context.Context, partition int) (jetstream.StreamState, error) {
	if err := l.checkPartition(partition); err != nil {
		return jetstream.StreamState{}, err
	}
	info, err := l.streams[partition].Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("bounds of partition %d: %w", partition, classify(err))
	}
	return info.State, nil
}

// Get returns one message: the one whose digest L5 compares at boot. A sequence below
// the first is position.ErrTrimmed, one not assigned yet ErrNotFound. Reading many is Read's work.
func (l *Log) Get(ctx context.Context, partition int, seq uint64) (Message, error) {
	first, next, err := l.Bounds(ctx, partition)
	switch {
	case err != nil:
		return Message{}, err
	case seq < first:
		return Message{}, fmt.Errorf("get %d of partition %d: %w: the first is %d", seq, partition,
			position.ErrTrimmed, first)
	case seq >= next:
		return Message{}, fmt.Errorf("get %d of partition %d: %w: the next is %d", seq, partition, ErrNotFound, next)
	}
	m, err := l.streams[partition].GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("get %d of partition %d: %w", seq, partition, ErrNotFound)
	}
	if err != nil {
		return Message{}, fmt.Errorf("get %d of partition %d: %w", seq, partition, classify(err))
	}
	if m.Sequence != seq {
		return Message{}, fmt.Errorf("%w: get %d of partition %d: message %d came instead", ErrUnavailable, seq,
			partition, m.Sequence)
	}
	return Message{Seq: seq, Data: m.Data, Stored: m.Time}, nil
}

// Trim forgets every message below the sequence below. The bound of L6 is the caller's to
// compute. One beyond the next sequence is refused, because it would move that one.
func (l *Log) Trim(ctx context.Context, partition int, below uint64) error {
	first, next, err := l.Bounds(ctx, partition)
	switch {
	case err != nil:
		return err
	case below > next:
		return fmt.Errorf("trim partition %d below %d: the next sequence is %d", partition, below, next)
	case below <= first:
		return nil
	}
	failpoint.Point("log.trim.before")
	if err := l.purge(ctx, partition, below); err != nil {
		return fmt.Errorf("trim partition %d below %d: %w", partition, below, err)
	}
	failpoint.Point("log.trim.after")
	return nil
}

// Advance makes next the sequence of the next message: the jump to the chain head after
// a seal (L5). Every message below next is gone afterwards, so the caller must know that
// all of them have landed, and must have created the seal first: a crash in between then
// only seals again. next below the current one is refused. Nothing may append meanwhile.
func (l *Log) Advance(ctx context.Context, partition int, next uint64) error {
	first, current, err := l.Bounds(ctx, partition)
	switch {
	case err != nil:
		return err
	case next < current:
		return fmt.Errorf("advance partition %d to %d: sequences up to %d are assigned", partition, next, current-1)
	case next == current && first == next:
		return nil
	}
	failpoint.Point("log.advance.before")
	if err := l.purge(ctx, partition, next); err != nil {
		return fmt.Errorf("advance partition %d to %d: %w", partition, next, err)
	}
	failpoint.Point("log.advance.after")
	// The server documents the jump nowhere, so its result is checked every time.
	first, current, err = l.Bounds(ctx, partition)
	if err == nil && (first != next || current != next) {
		err = fmt.Errorf("the server went to first %d, next %d", first, current)
	}
	if err != nil {
		return fmt.Errorf("advance partition %d to %d: %w", partition, next, err)
	}
	return nil
}

// purge removes everything below seq. Beyond the last sequence the file store keeps
// seq-1 as the last one and leaves a tombstone that says so across restarts.
func (l *Log) purge(ctx context.Context, partition int, seq uint64) error {
	return classify(l.streams[partition].Purge(ctx, jetstream.WithPurgeSequence(seq)))
}
