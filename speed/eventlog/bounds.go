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
	Data   []byte    // the frame; the caller owns it
	Stored time.Time // the time at which the server stored the message, by its clock
}

// Bounds returns the first sequence a partition still has and the next it will assign.
// They are equal if it holds no message.
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
		return jetstream.StreamState{}, fmt.Errorf("read the bounds of partition %d: %w", partition, classify(err))
	}
	return info.State, nil
}

// Get returns one message. L5 compares the digest of one at boot; use Read for many messages.
// A sequence below the first is position.ErrTrimmed, one not assigned yet is ErrNotFound.
func (l *Log) Get(ctx context.Context, partition int, seq uint64) (Message, error) {
	first, next, err := l.Bounds(ctx, partition)
	switch {
	case err != nil:
		return Message{}, err
	case seq < first:
		return Message{}, fmt.Errorf("get message %d of partition %d: %w: the first is %d", seq, partition,
			position.ErrTrimmed, first)
	case seq >= next:
		return Message{}, fmt.Errorf("get message %d of partition %d: %w: the next is %d", seq, partition, ErrNotFound,
			next)
	}
	m, err := l.streams[partition].GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("get message %d of partition %d: %w", seq, partition, ErrNotFound)
	}
	if err != nil {
		return Message{}, fmt.Errorf("get message %d of partition %d: %w", seq, partition, classify(err))
	}
	if m.Sequence != seq {
		return Message{}, fmt.Errorf("%w: get message %d of partition %d: the server sent message %d", ErrUnavailable,
			seq, partition, m.Sequence)
	}
	return Message{Seq: seq, Data: m.Data, Stored: m.Time}, nil
}

// Trim deletes every message with a sequence below the given one. The caller computes the bound of
// L6. A bound above the next sequence is refused, because it would move the next sequence.
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

// Advance makes next the sequence of the next message. It is the jump to the chain head after a seal
// (L5). It deletes every message below next, so the caller must know that all of them have landed.
// The caller must create the seal first: a crash between the two then only leads to another seal.
// A next below the current one is refused. Nothing may append during the call.
func (l *Log) Advance(ctx context.Context, partition int, next uint64) error {
	first, current, err := l.Bounds(ctx, partition)
	switch {
	case err != nil:
		return err
	case next < current:
		return fmt.Errorf("advance partition %d to %d: sequences up to %d are already assigned", partition, next,
			current-1)
	case next == current && first == next:
		return nil
	}
	failpoint.Point("log.advance.before")
	if err := l.purge(ctx, partition, next); err != nil {
		return fmt.Errorf("advance partition %d to %d: %w", partition, next, err)
	}
	failpoint.Point("log.advance.after")
	// The server's documentation does not promise the jump, so its result is checked every time.
	first, current, err = l.Bounds(ctx, partition)
	if err == nil && (first != next || current != next) {
		err = fmt.Errorf("the server is at first %d, next %d", first, current)
	}
	if err != nil {
		return fmt.Errorf("advance partition %d to %d: %w", partition, next, err)
	}
	return nil
}

// purge deletes every message below seq. If seq is beyond the last sequence, the server's file store
// makes seq-1 the last sequence and writes a tombstone, so that a restart keeps it.
func (l *Log) purge(ctx context.Context, partition int, seq uint64) error {
	return classify(l.streams[partition].Purge(ctx, jetstream.WithPurgeSequence(seq)))
}
