package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/schemas/problem"
	"recount/speed/eventlog"
)

// Log stores frames. Append returns a sequence only once the frame is durable (L1);
// it is called concurrently, and no longer reads frame after it returned without an
// error. An error of which errors.Is reports eventlog.ErrFull means that nothing was
// stored, one that is eventlog.ErrTooLarge that the frame never will be, any other
// that the outcome is unknown.
type Log interface {
	Append(ctx context.Context, partition int, frame []byte, msgID string) (seq uint64, err error)
}

// committer turns the queue of one partition into log messages (L2). Several
// appends are under way at once; requests are independent, so their order in the
// log does not matter.
type committer struct {
	*Server
	partition int
	queue     *queue
	slots     chan struct{} // one token per append under way
	messages  int           // begun by this process, for their ids
}

// run commits until ctx ends, then drains: no new reservation is accepted, and
// everything reserved before is committed and answered.
func (c *committer) run(ctx context.Context) error {
	appends := &errgroup.Group{}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.queue.wake:
			c.linger(ctx)
			c.flush(appends)
		}
	}
	c.queue.close()
	for c.queue.held() > 0 {
		c.flush(appends)
		if c.queue.held() > 0 {
			<-c.queue.wake
		}
	}
	return appends.Wait()
}

// linger waits a moment for more events unless there are enough for a message.
func (c *committer) linger(ctx context.Context) {
	if events, _ := c.queue.waiting(); events == 0 || c.cfg.Linger == 0 {
		return
	}
	timer := time.NewTimer(c.cfg.Linger)
	defer timer.Stop()
	for {
		if events, bytes := c.queue.waiting(); events >= c.cfg.GroupEvents || bytes >= c.cfg.GroupBytes {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-c.queue.wake:
		}
	}
}

// flush appends everything that waits. It takes a group only when a slot is free:
// until then the queue gathers, so messages grow with the load.
func (c *committer) flush(appends *errgroup.Group) {
	for {
		c.slots <- struct{}{}
		group := c.queue.take(c.cfg.GroupEvents, c.cfg.GroupBytes)
		<-c.slots // Only this goroutine fills slots, so this one stays free.
		if len(group) == 0 {
			return
		}
		for _, chunks := range byType(group) {
			c.slots <- struct{}{}
			c.begin(appends, chunks)
		}
	}
}

// begin commits one message in the background and then frees its slot.
func (c *committer) begin(appends *errgroup.Group, chunks []*chunk) {
	c.messages++
	id := fmt.Sprintf("%s-%d-%d", c.process, c.partition, c.messages)
	appends.Go(func() error {
		c.commit(chunks, id)
		<-c.slots
		return nil
	})
}

// byType splits a group into the chunks of each type, which keep their order.
func byType(group []*chunk) [][]*chunk {
	var out [][]*chunk
	at := map[*eventType]int{}
	for _, c := range group {
		i, ok := at[c.typ]
		if !ok {
			i = len(out)
			at[c.typ] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	return out
}

// commit appends one message and answers the requests whose events it holds.
func (c *committer) commit(chunks []*chunk, msgID string) {
	start := c.now()
	events := 0
	for _, ch := range chunks {
		events += ch.n
	}
	seq, size, err := c.append(chunks, msgID, start)
	var f *fault
	if err != nil {
		f = logFault(err)
		c.logger.Error("append events", "partition", c.partition, "events", events, "code", f.code, "error", err)
	}
	c.metrics.committed(events, size, c.now().Sub(start), f)
	c.queue.release(chunks...) // First, because a request that is done takes its chunks back.
	for _, ch := range chunks {
		if err == nil && c.acknowledged != nil {
			c.acknowledged(c.partition, seq, ch.tenant, ch.n)
		}
		ch.seq = seq
		ch.fault = f
		ch.done.Done()
	}
}

// append encodes and stores the message. It does not end with Run's context: what
// was taken from the queue is brought to an end, within AppendTimeout.
func (c *committer) append(chunks []*chunk, msgID string, now time.Time) (seq uint64, size int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.AppendTimeout)
	defer cancel()
	typ := chunks[0].typ
	f := typ.frames.Get().(*frame)
	b, err := f.encode(chunks, now.UnixMicro())
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)
	}
	if seq, err = c.log.Append(ctx, c.partition, b, msgID); err != nil {
		// The log may still be sending the frame, so its memory is not used again.
		return 0, len(b), err
	}
	typ.frames.Put(f)
	return seq, len(b), nil
}

// logFault says what a failed append means for its events.
func logFault(err error) *fault {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return &fault{code: problem.LogFull, status: 503, msg: "the log is full: send the event again later; where " +
			"landing and recompute run it empties by itself, else see /readyz, or raise log.max_bytes"}
	case errors.Is(err, eventlog.ErrTooLarge):
		return &fault{code: problem.EventTooLarge, msg: "the event does not fit a log message"}
	}
	return &fault{code: problem.LogUnavailable, status: 503, msg: "the log did not confirm the event; send it again " +
		"with the same id"}
}
