package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

const (
	prefetchMessages = 512
	// pullHeartbeat is how often the server must be heard of; twice that without it
	// means that the consumer is lost.
	pullHeartbeat = time.Second
	pullExpiry    = 10 * time.Second
	firstBackoff  = 20 * time.Millisecond
	maxBackoff    = 2 * time.Second
)

// Reader hands out the messages of one partition in order. The server's consumer
// behind it is a throw-away: whenever it is lost the reader makes a new one at the
// sequence it wants. A Reader is for one goroutine, apart from Lag.
type Reader struct {
	log       *Log
	partition int
	label     string
	next      uint64
	last      identity // of the message before next; zero before the first
	lag       atomic.Uint64

	consumer jetstream.Consumer
	messages jetstream.MessagesContext // nil while the consumer is lost
	closed   bool
}

// Read opens a Reader whose first message is from. position.ErrTrimmed means that the log no
// longer has from, position.ErrGap that it ends below from.
func (l *Log) Read(ctx context.Context, partition int, from uint64) (*Reader, error) {
	if err := l.checkPartition(partition); err != nil {
		return nil, err
	}
	if from == 0 {
		return nil, fmt.Errorf("read partition %d: sequences start at 1", partition)
	}
	r := &Reader{log: l, partition: partition, label: strconv.Itoa(partition), next: from}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next message, waiting for it if need be. Its errors are position.ErrTrimmed,
// position.ErrGap, ErrAltered, ErrClosed and ctx's; lost connections and servers are waited out.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	backoff := firstBackoff
	for {
		m, err := r.try(ctx)
		if err == nil {
			return m, nil
		}
		if err := r.ended(ctx); err != nil {
			return Message{}, err
		}
		if !errors.Is(err, ErrUnavailable) {
			return Message{}, err
		}
		r.log.metrics.reopened.Inc()
		r.log.log.Warn("log reader resumes", "partition", r.partition, "sequence", r.next, "error", err)
		if err := sleep(ctx, backoff); err != nil {
			return Message{}, err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (r *Reader) ended(ctx context.Context) error {
	if r.closed || r.log.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// try returns the next message, or ErrUnavailable when the consumer is lost.
func (r *Reader) try(ctx context.Context) (Message, error) {
	if r.closed {
		return Message{}, ErrClosed
	}
	if r.messages == nil {
		if err := r.open(ctx); err != nil {
			return Message{}, err
		}
	}
	m, err := r.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		if ctx.Err() == nil {
			r.drop()
		}
		return Message{}, fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
	}
	return r.accept(ctx, m)
}

// accept checks that m is the wanted message; the server alone is not trusted with that.
func (r *Reader) accept(ctx context.Context, m jetstream.Msg) (Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		r.drop()
		return Message{}, fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
	}
	if got := meta.Sequence.Stream; got != r.next {
		r.drop()
		return Message{}, r.missed(ctx, got)
	}
	r.next++
	r.last = identityOf(m.Data(), meta.Timestamp)
	r.lag.Store(meta.NumPending)
	r.log.metrics.read.WithLabelValues(r.label).Inc()
	r.log.metrics.readBytes.WithLabelValues(r.label).Add(float64(len(m.Data())))
	return Message{Seq: meta.Sequence.Stream, Data: m.Data(), Stored: meta.Timestamp}, nil
}

// missed says why message got came instead of the wanted one. Nothing acknowledges deliveries,
// so one that the client gave up waiting for is lost, and the consumer goes on behind it. Only
// the log knows whether the message is missing from it (C7), or from what arrived.
func (r *Reader) missed(ctx context.Context, got uint64) error {
	if err := r.checkBounds(ctx); err != nil {
		return err
	}
	return confirmed(ctx, func() error {
		switch _, err := r.log.Get(ctx, r.partition, r.next); {
		case err == nil:
			return fmt.Errorf("%w: read partition %d: message %d came instead of %d, which the log has", ErrUnavailable,
				r.partition, got, r.next)
		case errors.Is(err, ErrNotFound):
			return position.GapError{Partition: r.partition, Want: r.next, Got: got}
		default:
			return err
		}
	})
}

// checkBounds returns position.ErrTrimmed or ErrGap if the wanted sequence is outside the log.
func (r *Reader) checkBounds(ctx context.Context) error {
	return confirmed(ctx, func() error { return r.outside(ctx) })
}

const (
	looks     = 3
	lookEvery = 100 * time.Millisecond
)

// confirmed repeats a look at the log that found it trimmed or with a gap, and believes it
// when every look says so. Such a verdict stops a partition until an operator acts, and
// nothing in an answer of the server shows that a digit of it was spoilt on the way.
func confirmed(ctx context.Context, look func() error) error {
	for n := 1; ; n++ {
		err := look()
		if n == looks || !errors.Is(err, position.ErrTrimmed) && !errors.Is(err, position.ErrGap) {
			return err
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// outside is one look at the log. One that ends below the wanted sequence, or has another
// message at the last one, lost its tail while we were away: going on there would hand out
// another message under a sequence already seen, or what followed other messages as following ours.
func (r *Reader) outside(ctx context.Context) error {
	first, next, err := r.log.Bounds(ctx, r.partition)
	switch {
	case err != nil:
		return err
	case r.next < first:
		return fmt.Errorf("read %d of partition %d: %w: the first is %d", r.next, r.partition,
			position.ErrTrimmed, first)
	case r.next > next:
		return position.GapError{Partition: r.partition, Want: r.next, Got: next}
	case r.next > first && r.last != identity{}:
		return r.replaced(ctx)
	}
	return nil
}

// identity tells two messages of one sequence apart.
type identity struct {
	stored int64 // the server's clock, nanoseconds
	sum    uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func identityOf(data []byte, stored time.Time) identity {
	return identity{stored.UnixNano(), crc32.Checksum(data, castagnoli)}
}

// replaced returns ErrGap if the log has another message at the last sequence. What differs in
// one half alone was spoilt on the way.
func (r *Reader) replaced(ctx context.Context) error {
	m, err := r.log.Get(ctx, r.partition, r.next-1)
	switch there := identityOf(m.Data, m.Stored); {
	case errors.Is(err, position.ErrTrimmed) || errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case there.stored != r.last.stored && there.sum != r.last.sum:
		return fmt.Errorf("%w: message %d is another than the one that was read: the log lost its end and was "+
			"filled again",
			position.GapError{Partition: r.partition, Want: r.next, Got: r.next - 1}, r.next-1)
	}
	return nil
}

// open makes a consumer at the wanted sequence. It keeps no state worth saving, so it
// lives in the server's memory and acks nothing.
func (r *Reader) open(ctx context.Context) error {
	if err := r.checkBounds(ctx); err != nil {
		return err
	}
	c, err := r.log.readJS.CreateConsumer(ctx, r.log.cfg.streamName(r.partition), jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerLife(),
	})
	if err != nil {
		return fmt.Errorf("read partition %d: %w", r.partition, classify(err))
	}
	r.consumer = c
	r.messages, err = c.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(prefetchMessages, r.log.pullBytes()),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
	}
	return nil
}

// pullBytes bounds one request of a reader. A message larger than that would never be
// delivered and no error would say so, hence at least the largest the server takes.
func (l *Log) pullBytes() int {
	return max(l.cfg.Prefetch, int(l.reads.MaxPayload())+headerRoom)
}

// drop lets go of the consumer and what it prefetched.
func (r *Reader) drop() {
	if r.messages == nil {
		return
	}
	r.messages.Stop()
	r.messages = nil
	if r.log.closed.Load() || !r.log.reads.IsConnected() {
		return // the server forgets the consumer after consumerLife
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.log.readJS.DeleteConsumer(ctx, r.log.cfg.streamName(r.partition), r.consumer.CachedInfo().Name)
}

// Lag is the number of messages behind the last one Next returned, as of then.
func (r *Reader) Lag() uint64 { return r.lag.Load() }

// Close ends the reader. It may be called again.
func (r *Reader) Close() {
	r.closed = true
	r.drop()
}

// consumerLife is how long the server keeps the position of a reader that it does not
// hear of. A test build can pause a process for longer.
func consumerLife() time.Duration {
	if failpoint.Enabled {
		return 5 * time.Second
	}
	return 5 * time.Minute
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
