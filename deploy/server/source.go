package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recount/deploy/server/feed"
	"recount/jobs/conservation"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// source is the log in the form that landing and the real-time views read.
type source struct{ log *eventlog.Log }

// Read opens a reader at a message of a partition.
func (s source) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	r, err := s.log.Read(ctx, p, from)
	if err != nil {
		return nil, err
	}
	return logReader{r, s.log, p}, nil
}

// roleSource is the log as landing and the real-time views read it: they share what they read.
type roleSource struct {
	source
	feed *feed.Feed
}

// roleSource returns the one source of all roles of the process.
func (s *Server) roleSource() roleSource {
	log := source{s.engines.log}
	if s.feed == nil {
		s.feed = feed.New(log.Read, s.cfg.Log.Partitions)
	}
	return roleSource{log, s.feed}
}

// Read opens a reader at a message of a partition.
func (s roleSource) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return s.feed.Read(ctx, p, from)
}

// Heartbeat appends a message without events, which ends an idle segment (C1).
func (s source) Heartbeat(ctx context.Context, p int) error {
	_, err := s.log.Append(ctx, p, eventbatch.AppendHeartbeat(nil, failpoint.Now().UnixMicro()), "")
	return err
}

// logReader hands out a partition's messages as they are stored.
type logReader struct {
	*eventlog.Reader
	log       *eventlog.Log
	partition int
}

// A message whose checksum is wrong is fetched again for rereadFor. A bad link usually corrupts
// several transfers in a row.
const (
	rereadFor   = 8 * time.Second
	rereadEvery = 200 * time.Millisecond
)

// Next returns the next message. A message that arrives corrupt is fetched again, because only one
// that is stored corrupt needs an operator (C7). The reader has already moved past the message, so
// the end of the caller's context does not interrupt the fetch.
func (r logReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := r.Reader.Next(ctx)
	if err != nil {
		return eventbatch.Message{}, err
	}
	m = reread(context.WithoutCancel(ctx), r.log, r.partition, m)
	return eventbatch.Message{Seq: m.Seq, Frame: m.Data}, nil
}

// reread fetches a message again, for rereadFor, if its checksum is wrong.
func reread(ctx context.Context, log *eventlog.Log, partition int, m eventlog.Message) eventlog.Message {
	ctx, cancel := context.WithTimeout(ctx, rereadFor)
	defer cancel()
	for ctx.Err() == nil && !whole(m.Data) {
		if again, err := log.Get(ctx, partition, m.Seq); err == nil {
			m = again
		}
		if whole(m.Data) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(rereadEvery):
		}
	}
	return m
}

// messageWait is how long tenants waits for one message that the log has. A log that loses its connection
// and restores it needs far less.
const messageWait = time.Minute

// tenants calls each with the events per tenant of every message [from, to) of a partition. A message that
// is missing or stored corrupt ends it with a *conservation.UnreadableError.
func (s source) tenants(ctx context.Context, p int, from, to uint64, each func(uint64, map[string]int64)) error {
	r, err := s.Read(ctx, p, from)
	if err != nil {
		return err
	}
	defer r.Close()
	for seq := from; seq < to; seq++ {
		m, err := awaitMessage(ctx, r, seq)
		if errors.Is(err, position.ErrGap) {
			return conservation.Unreadable(seq, err)
		}
		if err != nil {
			return err
		}
		tenants, err := eventbatch.Tenants(m.Frame)
		if err != nil {
			return conservation.Unreadable(m.Seq, err)
		}
		each(m.Seq, tenants)
	}
	return nil
}

// awaitMessage returns the next message of a reader, or an error after messageWait.
func awaitMessage(ctx context.Context, r eventbatch.Reader, seq uint64) (eventbatch.Message, error) {
	timed, cancel := context.WithTimeout(ctx, messageWait)
	defer cancel()
	m, err := r.Next(timed)
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the log has not sent message %d within %s: check the log server: %w", seq, messageWait, err)
	}
	return m, err
}

// whole reports whether a frame has the checksum it was written with.
func whole(frame []byte) bool {
	_, err := eventbatch.ReadHeader(frame)
	return err == nil
}
