package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

const (
	prefetchMessages = 512
	// pullHeartbeat is how often the server sends a sign of life to a consumer that waits. The
	// library takes the consumer for lost after twice that time without one.
	pullHeartbeat = time.Second
	pullExpiry    = 10 * time.Second
	firstBackoff  = 20 * time.Millisecond
	maxBackoff    = 2 * time.Second
	// quietPeriod is how long a reader hears nothing before it asks the log whether it misses a message.
	quietPeriod = time.Second
)

// Reader returns the messages of one partition in order. Its consumer on the server holds no state
// worth keeping: if it is lost, the reader creates another one at the sequence it wants. A Reader is
// for one goroutine.
type Reader struct {
	log       *Log
	partition int
	label     string
	next      uint64
	last      identity // of the message before next; zero before the first

	consumer jetstream.Consumer
	messages jetstream.MessagesContext // nil while the consumer is lost
	closed   bool

	heard  time.Time // when the last message arrived, or the log was asked because none did
	missed uint64    // the wanted message, if the log had assigned its sequence when it was asked
}

// Read opens a Reader whose first message is from. position.ErrTrimmed means that the log no longer has
// from; position.ErrGap means that the log ends below from.
func (l *Log) Read(ctx context.Context, partition int, from uint64) (*Reader, error) {
	if err := l.checkPartition(partition); err != nil {
		return nil, err
	}
	if from == 0 {
		return nil, fmt.Errorf("read partition %d from sequence 0: sequences start at 1", partition)
	}
	r := &Reader{log: l, partition: partition, label: strconv.Itoa(partition), next: from}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next message and waits until there is one, also while the connection or the server
// is lost. It does not wait for a message that the log has assigned and lost: that is a position.ErrGap.
// Its other errors are position.ErrTrimmed, ErrAltered, ErrClosed and ctx's.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	backoff := firstBackoff
	for {
		m, err := r.receive(ctx)
		if err == nil {
			return m, nil
		}
		if err := r.checkOpen(ctx); err != nil {
			return Message{}, err
		}
		if !errors.Is(err, ErrUnavailable) {
			return Message{}, err
		}
		r.log.metrics.reopened.Inc()
		r.log.logger.Warn("log reader lost its consumer and resumes", "partition", r.partition, "sequence", r.next,
			"error", err)
		if err := sleep(ctx, backoff); err != nil {
			return Message{}, err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// checkOpen returns why the reader must not continue, or nil.
func (r *Reader) checkOpen(ctx context.Context) error {
	if r.closed || r.log.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// receive returns the next message, or ErrUnavailable if the consumer is lost.
func (r *Reader) receive(ctx context.Context) (Message, error) {
	if r.closed {
		return Message{}, ErrClosed
	}
	if r.messages == nil {
		if err := r.open(ctx); err != nil {
			return Message{}, err
		}
	}
	m, err := r.await(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.dropConsumer()
		}
		return Message{}, err
	}
	return r.accept(ctx, m)
}

// await waits for the consumer's next message, and asks the log after each quietPeriod without one. The
// server skips a message that it cannot read. At the end of the log no later message shows that.
func (r *Reader) await(ctx context.Context) (jetstream.Msg, error) {
	for {
		quiet, cancel := context.WithDeadline(ctx, r.heard.Add(quietPeriod))
		m, err := r.messages.Next(jetstream.NextContext(quiet))
		ended := quiet.Err() != nil
		cancel()
		switch {
		case err == nil:
			r.hear()
			return m, nil
		case !ended || ctx.Err() != nil:
			return nil, fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
		}
		r.heard = time.Now()
		if err := r.checkMissed(ctx); err != nil {
			return nil, err
		}
	}
}

// hear records that a message has arrived.
func (r *Reader) hear() {
	r.heard = time.Now()
	r.missed = 0
}

// checkMissed returns why the wanted message does not arrive although the log has assigned its sequence,
// or nil if it has not. The message may be on its way, so only a second look in a row counts.
func (r *Reader) checkMissed(ctx context.Context) error {
	_, next, err := r.log.Bounds(ctx, r.partition)
	if err != nil {
		return err
	}
	switch {
	case r.next > next:
		return r.checkBounds(ctx)
	case r.next < next && r.missed == r.next:
		return r.explainSkip(ctx, next)
	case r.next < next:
		r.missed = r.next
	}
	return nil
}

// accept checks that m is the wanted message. It does not trust the server to keep the order.
func (r *Reader) accept(ctx context.Context, m jetstream.Msg) (Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		r.dropConsumer()
		return Message{}, fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
	}
	if got := meta.Sequence.Stream; got != r.next {
		r.dropConsumer()
		return Message{}, r.explainSkip(ctx, got)
	}
	r.next++
	r.last = identityOf(m.Data(), meta.Timestamp)
	r.log.metrics.read.WithLabelValues(r.label).Inc()
	r.log.metrics.readBytes.WithLabelValues(r.label).Add(float64(len(m.Data())))
	return Message{Seq: meta.Sequence.Stream, Data: m.Data(), Stored: meta.Timestamp}, nil
}

// explainSkip returns why message got arrived instead of the wanted one, or why nothing arrived up to the
// log's end got. Deliveries are not acknowledged: if the client gave up waiting for one, it is lost and
// the consumer continues with the next. So the reader asks the log whether it lacks the message (C7) or
// only the delivery was lost.
func (r *Reader) explainSkip(ctx context.Context, got uint64) error {
	if err := r.checkBounds(ctx); err != nil {
		return err
	}
	return confirm(ctx, func() error {
		switch _, err := r.log.Get(ctx, r.partition, r.next); {
		case err == nil:
			return fmt.Errorf("%w: read partition %d: message %d did not arrive before %d, although the log has it",
				ErrUnavailable, r.partition, r.next, got)
		case errors.Is(err, ErrNotFound):
			return position.GapError{Partition: r.partition, Want: r.next, Got: got}
		default:
			return err
		}
	})
}

// checkBounds returns position.ErrTrimmed or position.ErrGap if the wanted sequence is outside the
// log, or if the log has another message at the last sequence.
func (r *Reader) checkBounds(ctx context.Context) error {
	return confirm(ctx, func() error { return r.checkBoundsOnce(ctx) })
}

const (
	confirmLooks    = 3
	confirmInterval = 100 * time.Millisecond
)

// confirm repeats a check that found the log trimmed or with a gap, and returns that finding only if
// every repetition agrees. The finding stops a partition until an operator acts, and an answer
// of the server has no checksum that would show a digit that was corrupted on the way.
func confirm(ctx context.Context, look func() error) error {
	for n := 1; ; n++ {
		err := look()
		if n == confirmLooks || !errors.Is(err, position.ErrTrimmed) && !errors.Is(err, position.ErrGap) {
			return err
		}
		if err := sleep(ctx, confirmInterval); err != nil {
			return err
		}
	}
}

// checkBoundsOnce is checkBounds without repetition. A log that ends below the wanted sequence, or has
// another message at the last one, lost its end while this reader was disconnected. If the reader
// continued, it would return another message for a known sequence, or skip messages.
func (r *Reader) checkBoundsOnce(ctx context.Context) error {
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
		return r.checkLast(ctx)
	}
	return nil
}

// identity distinguishes two messages of the same sequence.
type identity struct {
	stored int64 // the time at which the server stored it, in nanoseconds
	sum    uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func identityOf(data []byte, stored time.Time) identity {
	return identity{stored.UnixNano(), crc32.Checksum(data, castagnoli)}
}

// checkLast returns position.ErrGap if the log has another message at the last sequence. If only one
// half of its identity differs, the answer was corrupted on the way.
func (r *Reader) checkLast(ctx context.Context) error {
	m, err := r.log.Get(ctx, r.partition, r.next-1)
	switch there := identityOf(m.Data, m.Stored); {
	case errors.Is(err, position.ErrTrimmed) || errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case there.stored != r.last.stored && there.sum != r.last.sum:
		return fmt.Errorf("%w: message %d is not the one that was read before: "+
			"the log lost its end and was filled again",
			position.GapError{Partition: r.partition, Want: r.next, Got: r.next - 1}, r.next-1)
	}
	return nil
}

// open creates a consumer at the wanted sequence. It holds no state worth keeping, so it is in the
// server's memory and nothing is acknowledged.
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
	r.hear()
	r.messages, err = c.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(prefetchMessages, r.log.pullBytes()),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("%w: read partition %d: %w", ErrUnavailable, r.partition, err)
	}
	return nil
}

// pullBytes bounds one request of a reader. It is at least the largest message that the server
// accepts, because a larger message would never be delivered and no error would say so.
func (l *Log) pullBytes() int {
	return max(l.cfg.Prefetch, int(l.reads.MaxPayload())+maxHeaderBytes)
}

// dropConsumer gives up the consumer and the messages it prefetched.
func (r *Reader) dropConsumer() {
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

// Close ends the reader. It may be called again.
func (r *Reader) Close() {
	r.closed = true
	r.dropConsumer()
}

// consumerLife is how long the server keeps the consumer of a reader that sends nothing. It is short
// in test builds, so that a test can pause a process for longer than that.
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
