package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"recount/schemas/failpoint"
)

// minCost is the least that a message counts against MaxInFlight, in bytes. The default MaxInFlight
// allows 4,096 messages, which is below the server's queue of 10,000 for each stream.
const minCost = 16 << 10

// Pending is an append without an outcome yet. Every Pending ends with an ack, a refusal, or
// ErrUnavailable after AckTimeout.
type Pending struct {
	partition int
	cost      int64
	bytes     int
	sent      time.Time

	done chan struct{} // closed after seq and err are set
	seq  uint64
	err  error
}

// Wait returns the sequence of the stored message, or why it is not known to be stored.
// If ctx ends first, the append continues. Errors wrap ErrFull, ErrUnavailable, ErrHalted,
// ErrTooLarge or ErrAltered.
func (p *Pending) Wait(ctx context.Context) (uint64, error) {
	select {
	case <-p.done:
		return p.seq, p.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: append to partition %d: %w", ErrUnavailable, p.partition, ctx.Err())
	}
}

// Append stores frame at the end of a partition and returns its sequence once it is
// durable (L1). A resend with the same msgID within thirty seconds returns the sequence of the
// first message (L7); an empty msgID turns that off. Use AppendAsync for pipelining.
func (l *Log) Append(ctx context.Context, partition int, frame []byte, msgID string) (uint64, error) {
	p, err := l.AppendAsync(ctx, partition, frame, msgID)
	if err != nil {
		return 0, err
	}
	return p.Wait(ctx)
}

// AppendAsync sends frame and returns before it is stored. It blocks while MaxInFlight is used up.
// The messages of sequential calls for one partition are stored in the order of the calls, but one
// may be refused and the next one stored. frame must not change before Wait returns.
// An error other than ErrUnavailable means that nothing was sent.
func (l *Log) AppendAsync(ctx context.Context, partition int, frame []byte, msgID string) (*Pending, error) {
	if err := l.checkAppend(partition, frame, msgID); err != nil {
		return nil, err
	}
	p := &Pending{partition: partition, cost: max(minCost, int64(len(frame)+maxHeaderBytes)), bytes: len(frame),
		done: make(chan struct{})}
	if err := l.budget.Acquire(ctx, p.cost); err != nil {
		return nil, fmt.Errorf("append to partition %d: wait until fewer than %d bytes are in flight: %w", partition,
			l.cfg.MaxInFlight, err)
	}
	p.sent = time.Now()
	m := &nats.Msg{Subject: l.cfg.subject(partition), Data: frame, Header: l.header(partition, msgID)}
	l.inFlight.add(m, p)
	l.metrics.inFlight.Inc()
	failpoint.Point("log.append.before")
	// The library must not retry: a resend without the caller's knowledge would come after later messages.
	if _, err := l.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
		l.settle(m, nil, err)
		return nil, fmt.Errorf("append to partition %d: %w", partition, classify(err))
	}
	failpoint.Point("log.append.after")
	return p, nil
}

// checkAppend refuses a message that must not be sent.
func (l *Log) checkAppend(partition int, frame []byte, msgID string) error {
	if err := l.checkPartition(partition); err != nil {
		return err
	}
	switch {
	case len(frame) > l.cfg.MaxFrame:
		return fmt.Errorf("append to partition %d: %w: %d bytes, the limit is %d", partition, ErrTooLarge, len(frame),
			l.cfg.MaxFrame)
	case len(msgID) > maxMsgID:
		return fmt.Errorf("append to partition %d: the message id has %d bytes, the limit is %d", partition, len(msgID),
			maxMsgID)
	case l.closed.Load():
		return fmt.Errorf("append to partition %d: %w", partition, ErrClosed)
	}
	return l.checkHalted()
}

// checkHalted asks the embedded server for its health after an append without an answer. JetStream
// never answers a write that failed on the disk, and it refuses all later writes in the same way.
// Without this check every later append would wait for AckTimeout.
func (l *Log) checkHalted() error {
	if l.cfg.Server == nil || !l.suspect.Load() {
		return nil
	}
	if err := l.cfg.Server.Healthy(); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	l.suspect.Store(false)
	return nil
}

func (l *Log) header(partition int, msgID string) nats.Header {
	h := nats.Header{jetstream.ExpectedStreamHeader: {l.cfg.streamName(partition)}}
	if msgID != "" {
		h[jetstream.MsgIDHeader] = []string{msgID}
	}
	return h
}

// settle ends the append of m with an ack or an error. The client library's handlers call it.
func (l *Log) settle(m *nats.Msg, ack *jetstream.PubAck, err error) {
	p := l.inFlight.remove(m)
	if p == nil {
		return
	}
	if err != nil {
		l.finish(p, 0, fmt.Errorf("append to partition %d: %w", p.partition, classify(err)))
		return
	}
	if want := l.cfg.streamName(p.partition); ack.Stream != want {
		l.finish(p, 0, fmt.Errorf("append to partition %d: %w: stored in stream %s, want %s", p.partition, ErrAltered,
			ack.Stream, want))
		return
	}
	failpoint.Point("log.ack.before")
	l.finish(p, ack.Sequence, nil)
	failpoint.Point("log.ack.after")
}

func (l *Log) finish(p *Pending, seq uint64, err error) {
	p.seq = seq
	p.err = err
	l.recordOutcome(p)
	l.metrics.countAppend(p)
	l.budget.Release(p.cost)
	close(p.done)
}

// recordOutcome keeps what Healthy and checkHalted need to know about an outcome.
func (l *Log) recordOutcome(p *Pending) {
	l.full[p.partition].Store(errors.Is(p.err, ErrFull))
	if errors.Is(p.err, ErrUnavailable) {
		l.suspect.Store(true)
	}
}

// inFlight holds the appends that have no outcome yet.
type inFlight struct {
	mu      sync.Mutex
	pending map[*nats.Msg]*Pending
}

func (f *inFlight) add(m *nats.Msg, p *Pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending == nil {
		f.pending = make(map[*nats.Msg]*Pending)
	}
	f.pending[m] = p
}

// remove removes and returns the append of m, or nil if it has an outcome already.
func (f *inFlight) remove(m *nats.Msg) *Pending {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pending[m]
	delete(f.pending, m)
	return p
}

func (f *inFlight) failAll(fail func(*Pending)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m, p := range f.pending {
		delete(f.pending, m)
		fail(p)
	}
}
