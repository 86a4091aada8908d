package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/schemas/problem"
	"recount/speed/eventlog"
)

// Log stores frames. Append returns a sequence only once the frame is durable (L1). Ingest
// calls it concurrently, and uses the memory of frame again once it returned without an error.
//
// An error that is eventlog.ErrFull means that the frame was not stored, eventlog.ErrTooLarge
// that it never can be, and any other error that the outcome is unknown.
type Log interface {
	Append(ctx context.Context, partition int, frame []byte, msgID string) (seq uint64, err error)
}

// committer turns the queue of one partition into log messages (L2). Several appends are
// under way at once. Requests are independent, so their order in the log does not matter.
type committer struct {
	*Server
	partition int
	queue     *queue
	slots     chan struct{} // one token for each append under way
	messages  int           // begun by this process, for message ids
}

// run commits until ctx ends. It then closes the queue, and commits and answers everything
// for which room was reserved before.
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

// linger waits at most Linger for more events. It returns earlier when there are enough for a message.
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

// flush appends everything that waits. It takes a group only when a slot is free. Until then
// the queue gathers events, so messages grow with the load.
func (c *committer) flush(appends *errgroup.Group) {
	for {
		c.slots <- struct{}{}
		group := c.queue.takeGroup(c.cfg.GroupEvents, c.cfg.GroupBytes)
		<-c.slots // Only this goroutine fills slots, so the slot stays free.
		if len(group) == 0 {
			return
		}
		for _, chunks := range groupByType(group) {
			c.slots <- struct{}{}
			c.beginCommit(appends, chunks)
		}
	}
}

// beginCommit commits one message in the background, which then frees its slot.
func (c *committer) beginCommit(appends *errgroup.Group, chunks []*chunk) {
	c.messages++
	id := fmt.Sprintf("%s-%d-%d", c.process, c.partition, c.messages)
	appends.Go(func() error {
		c.commit(chunks, id)
		<-c.slots
		return nil
	})
}

// groupByType splits a group by event type. The chunks of a type keep their order.
func groupByType(group []*chunk) [][]*chunk {
	if !slices.ContainsFunc(group, func(c *chunk) bool { return c.eventType != group[0].eventType }) {
		return [][]*chunk{group}
	}
	var out [][]*chunk
	places := map[*eventType]int{} // in out
	for _, c := range group {
		i, ok := places[c.eventType]
		if !ok {
			i = len(out)
			places[c.eventType] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	return out
}

// commit appends one message and reports the outcome to the requests whose events it holds.
func (c *committer) commit(chunks []*chunk, msgID string) {
	start := c.now()
	events := 0
	for _, ch := range chunks {
		events += ch.n
	}
	seq, size, err := c.appendMessage(chunks, msgID, start)
	var refused *rejection
	if err != nil {
		refused = appendRejection(err)
		c.logger.Error("the log did not confirm a message; its events are refused", "partition", c.partition,
			"events", events, "code", refused.code, "error", err)
	}
	c.metrics.countMessage(events, size, c.now().Sub(start), refused)
	c.queue.release(chunks...) // Before done, because a request that is done takes its chunks back.
	for _, ch := range chunks {
		if err == nil && c.acknowledged != nil {
			c.acknowledged(c.partition, seq, ch.tenant, ch.n)
		}
		ch.seq = seq
		ch.rejection = refused
		ch.done.Done()
	}
}

// appendMessage encodes and stores a message. It does not end with the context of Run: the
// outcome of everything that was taken from the queue is known within AppendTimeout.
func (c *committer) appendMessage(chunks []*chunk, msgID string, now time.Time) (seq uint64, size int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.AppendTimeout)
	defer cancel()
	t := chunks[0].eventType
	f := t.frames.Get().(*frame)
	b, err := f.encode(chunks, now.UnixMicro())
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)
	}
	if seq, err = c.log.Append(ctx, c.partition, b, msgID); err != nil {
		// The log may still be sending the frame, so its memory is not used again.
		return 0, len(b), err
	}
	t.frames.Put(f)
	return seq, len(b), nil
}

// appendRejection returns what a failed append means for its events.
func appendRejection(err error) *rejection {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return &rejection{problem.LogFull, "the log is full; send the event again later. Landing and recompute empty " +
			"the log; if they run and it stays full, see /readyz or raise log.max_bytes"}
	case errors.Is(err, eventlog.ErrTooLarge):
		return &rejection{problem.EventTooLarge, "the event does not fit into a log message"}
	}
	return &rejection{problem.LogUnavailable, "the log did not confirm the event; send it again with the same id"}
}
