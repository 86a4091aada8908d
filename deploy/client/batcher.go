package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"recount/schemas/problem"
)

// BatcherConfig configures a Batcher. Zero fields take the defaults.
type BatcherConfig struct {
	// Events is how many events a request has at most. The default is 1000.
	Events int
	// Bytes is how large a request is at most, before compression. One event may be larger. The
	// default is 1 MiB.
	Bytes int
	// Delay is the longest time that an event waits for others. It waits longer if InFlight requests
	// are under way. The default is 100 ms.
	Delay time.Duration
	// QueueBytes bounds the events without an outcome, in bytes. Add waits while there are more. The
	// default is 32 MiB.
	QueueBytes int
	// InFlight is how many requests wait for an answer at most. The default is 2.
	InFlight int
	// Done receives the outcome of every event that Add accepted, once for each. Calls may be
	// concurrent. Done must not call the Batcher. It may be nil.
	Done func(Outcome)
}

func (c BatcherConfig) withDefaults() BatcherConfig {
	fill := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	fill(&c.Events, 1000)
	fill(&c.Bytes, 1<<20)
	fill(&c.QueueBytes, 32<<20)
	fill(&c.InFlight, 2)
	if c.Delay <= 0 {
		c.Delay = 100 * time.Millisecond
	}
	if c.Done == nil {
		c.Done = func(Outcome) {}
	}
	return c
}

// Outcome is the outcome of an event. The event is durable if Rejection and Err are nil.
type Outcome struct {
	Event Event
	// Receipt says where in the log the event is, if it is durable.
	Receipt string
	// Rejection is set if the server refused the event for good.
	Rejection *Rejection
	// Err is set if the event was not acknowledged. The server may have stored it nevertheless.
	Err error
}

// ErrClosed is the error of Add after Close. It is also the reason when Close gives events up.
var ErrClosed = errors.New("the batcher is closed")

// Batcher gathers events into requests and sends them, as often as its client's Retry says. It is
// safe for concurrent use and must be closed.
type Batcher struct {
	client   *Client
	cfg      BatcherConfig
	added    chan queued
	flushes  chan *flush
	finished chan finished
	closing  chan struct{}
	close    func()        // close closes closing once.
	done     chan struct{} // done is closed after Close, when every event has its outcome.

	ctx    context.Context // ctx is the context of all requests.
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	failed int   // failed counts events that were not acknowledged and that no Flush has reported.
	err    error // err is the reason for the last of them.
}

// queued is an event that waits.
type queued struct {
	event Event
	line  []byte
	since time.Time
}

// finished is a request that has ended.
type finished struct {
	first uint64 // first is the number of its first event.
	bytes int
}

// flush waits for the outcome of all events below a number.
type flush struct {
	below uint64
	done  chan struct{}
}

// NewBatcher returns a batcher that sends through the client.
func (c *Client) NewBatcher(cfg BatcherConfig) *Batcher {
	b := &Batcher{client: c, cfg: cfg.withDefaults(), added: make(chan queued), flushes: make(chan *flush),
		finished: make(chan finished), closing: make(chan struct{}), done: make(chan struct{})}
	b.close = sync.OnceFunc(func() { close(b.closing) })
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	go b.run()
	return b
}

// Add queues an event. It draws a missing id and sets a missing time. It waits while the queue is
// full, until ctx ends. If Add returns nil, Done receives the outcome of the event later.
func (b *Batcher) Add(ctx context.Context, e Event) error {
	e.complete()
	line, err := e.append(nil)
	if err != nil {
		return err
	}
	select {
	case <-b.closing:
		return ErrClosed
	default:
	}
	select {
	case b.added <- queued{e, line, time.Now()}:
		return nil
	case <-b.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("queue event %q: %w", e.ID, context.Cause(ctx))
	}
}

// Flush sends all queued events at once. It waits until every event that was added before has its
// outcome, or until ctx ends. Its error counts the events that were not acknowledged and that no
// earlier Flush has reported. Rejected events are no error.
func (b *Batcher) Flush(ctx context.Context) error {
	f := &flush{done: make(chan struct{})}
	select {
	case b.flushes <- f:
	case <-b.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("flush events: %w", context.Cause(ctx))
	}
	select {
	case <-f.done:
		return b.failure()
	case <-ctx.Done():
		return fmt.Errorf("flush events: %w", context.Cause(ctx))
	}
}

// Close sends all queued events and waits until every event has its outcome. If ctx ends first,
// Close gives up the events that are not acknowledged, and Done receives each of them with an
// error. The error of Close counts the events that no Flush has reported.
func (b *Batcher) Close(ctx context.Context) error {
	b.close()
	select {
	case <-b.done:
	case <-ctx.Done():
		b.cancel(fmt.Errorf("%w: %w", ErrClosed, context.Cause(ctx)))
		<-b.done
	}
	return b.failure()
}

// failure reports the events that were not acknowledged, each once.
func (b *Batcher) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.failed
	b.failed = 0
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d events were not acknowledged: %w", n, b.err)
}

// fail counts an event that was not acknowledged.
func (b *Batcher) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed++
	b.err = err
}

// batcherState is the state of the goroutine of a Batcher.
type batcherState struct {
	queue   []queued
	first   uint64         // first is the number of the first event in queue.
	bytes   int            // bytes is the size of queue.
	held    int            // held is the size of all events without an outcome.
	sending map[uint64]int // sending has the events of each open request, by the number of its first event.
	flushes []*flush       // flushes are those that wait, the oldest first.
	closing bool
}

// run owns the state until every event has its outcome after Close.
func (b *Batcher) run() {
	defer close(b.done)
	defer b.cancel(nil)
	s := &batcherState{sending: map[uint64]int{}}
	closing := b.closing
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := b.dispatch(s)
		s.endFlushes()
		if s.closing && s.idle() {
			return
		}
		added := b.added
		if s.closing || s.held >= b.cfg.QueueBytes {
			added = nil
		}
		var expired <-chan time.Time
		if due > 0 {
			timer.Reset(due)
			expired = timer.C
		}
		select {
		case q := <-added:
			s.queue = append(s.queue, q)
			s.bytes += len(q.line)
			s.held += len(q.line)
		case f := <-b.flushes:
			f.below = s.first + uint64(len(s.queue))
			s.flushes = append(s.flushes, f)
		case f := <-b.finished:
			delete(s.sending, f.first)
			s.held -= f.bytes
		case <-expired:
		case <-closing:
			s.closing = true
			closing = nil
		}
	}
}

// idle reports whether every event has its outcome.
func (s *batcherState) idle() bool { return len(s.queue) == 0 && len(s.sending) == 0 }

// dispatch starts the requests that are due. It returns the time until the next one is due, or 0
// if that does not depend on time.
func (b *Batcher) dispatch(s *batcherState) time.Duration {
	for len(s.queue) > 0 && len(s.sending) < b.cfg.InFlight {
		wait := b.cfg.Delay - time.Since(s.queue[0].since)
		immediate := s.closing || len(s.flushes) > 0 && s.flushes[len(s.flushes)-1].below > s.first
		if wait > 0 && !immediate && len(s.queue) < b.cfg.Events && s.bytes < b.cfg.Bytes {
			return wait
		}
		batch := s.nextBatch(b.cfg.Events, b.cfg.Bytes)
		go func(first uint64) { b.finished <- b.send(first, batch) }(s.first - uint64(len(batch)))
	}
	return 0
}

// nextBatch removes the events of the next request from the queue.
func (s *batcherState) nextBatch(events, bytes int) []queued {
	n := 0
	size := 0
	for n < min(len(s.queue), events) && (n == 0 || size+len(s.queue[n].line) <= bytes) {
		size += len(s.queue[n].line)
		n++
	}
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
	s.sending[s.first] = n
	s.first += uint64(n)
	s.bytes -= size
	return batch
}

// endFlushes ends the flushes whose events all have their outcome.
func (s *batcherState) endFlushes() {
	oldest := s.first
	for first := range s.sending {
		oldest = min(oldest, first)
	}
	for len(s.flushes) > 0 && s.flushes[0].below <= oldest {
		close(s.flushes[0].done)
		s.flushes = s.flushes[1:]
	}
}

// send sends a request and reports every event to Done.
func (b *Batcher) send(first uint64, batch []queued) finished {
	f := finished{first: first}
	for _, q := range batch {
		f.bytes += len(q.line)
	}
	b.deliver(batch)
	return f
}

// deliver sends events, in halves if the server finds them too many for one request.
func (b *Batcher) deliver(batch []queued) {
	var lines []byte
	for _, q := range batch {
		lines = append(lines, q.line...)
	}
	result, err := b.client.SendLines(b.ctx, lines)
	var p *Problem
	if errors.As(err, &p) && (p.Code == problem.BodyTooLarge || p.Code == problem.TooManyEvents) && len(batch) > 1 {
		b.deliver(batch[:len(batch)/2])
		b.deliver(batch[len(batch)/2:])
		return
	}
	if err == nil {
		err = result.check(len(batch))
	}
	for i, o := range outcomes(batch, result, err) {
		o.Event = batch[i].event
		if o.Err != nil {
			b.fail(o.Err)
		}
		b.cfg.Done(o)
	}
}

// outcomes returns what an answer means for each event. Only an answer that names an outcome for
// every event can mean that one of them is durable.
func outcomes(batch []queued, result Result, err error) []Outcome {
	all := make([]Outcome, len(batch))
	if result.check(len(batch)) != nil {
		for i := range all {
			all[i].Err = err
		}
		return all
	}
	for i := range all {
		all[i].Receipt = result.Receipt
	}
	for i := range result.Rejected {
		r := &result.Rejected[i]
		all[r.Index] = Outcome{Rejection: r}
		if r.Code.RetryEvent() {
			all[r.Index] = Outcome{Err: err}
		}
	}
	return all
}
