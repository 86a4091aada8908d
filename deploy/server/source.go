package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recount/batch/landing"
	"recount/jobs/conservation"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// source gives the two consumers of the log its messages in their own terms; they
// do not know each other or the log.
type source struct{ log *eventlog.Log }

// logReader hands out a partition's messages as they are stored.
type logReader struct {
	*eventlog.Reader
	log       *eventlog.Log
	partition int
}

func (s source) read(ctx context.Context, p int, from uint64) (logReader, error) {
	r, err := s.log.Read(ctx, p, from)
	return logReader{r, s.log, p}, err
}

// A message whose checksum is wrong is asked for again for a while: what spoils one on the
// way mostly spoils several.
const (
	rereadFor   = 8 * time.Second
	rereadEvery = 200 * time.Millisecond
)

// message reads the next message. One that arrives spoilt is fetched again: only what is
// stored so is a matter for an operator (C7). The reader has gone past it, so the caller's
// context must not end this half-way.
func (r logReader) message(ctx context.Context) (eventbatch.Message, error) {
	m, err := r.Next(ctx)
	if err != nil {
		return eventbatch.Message{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rereadFor)
	defer cancel()
	for ctx.Err() == nil && !whole(m.Data) {
		if again, err := r.log.Get(ctx, r.partition, m.Seq); err == nil {
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
	return eventbatch.Message{Seq: m.Seq, Frame: m.Data}, nil
}

// tenants calls each with the tenants of the events of every message [from, to) of a partition.
// One that is stored spoilt ends it with a *conservation.UnreadableError.
func (s source) tenants(ctx context.Context, p int, from, to uint64, each func(uint64, map[string]int64)) error {
	r, err := s.read(ctx, p, from)
	if err != nil {
		return err
	}
	defer r.Close()
	for range to - from {
		m, err := r.message(ctx)
		if err != nil {
			return err
		}
		tenants, err := eventbatch.Tenants(m.Frame)
		if err != nil {
			return &conservation.UnreadableError{Seq: m.Seq, Err: err}
		}
		each(m.Seq, tenants)
	}
	return nil
}

// whole reports whether a frame is as it was written.
func whole(frame []byte) bool {
	_, err := eventbatch.ReadHeader(frame)
	return err == nil
}

// landingSource is the log as the landing sees it.
type landingSource struct{ source }

type landingReader struct{ logReader }

func (r landingReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := r.message(ctx)
	return m, landingError(err)
}

// Read opens a reader at a message of a partition.
func (s landingSource) Read(ctx context.Context, p int, from uint64) (landing.Reader, error) {
	r, err := s.read(ctx, p, from)
	if err != nil {
		return nil, landingError(err)
	}
	return landingReader{r}, nil
}

// Heartbeat appends a message without events, which ends an idle segment (C1).
func (s landingSource) Heartbeat(ctx context.Context, p int) error {
	_, err := s.log.Append(ctx, p, eventbatch.AppendHeartbeat(nil, failpoint.Now().UnixMicro()), "")
	return err
}

func landingError(err error) error {
	var gap eventlog.ErrGap
	switch {
	case errors.Is(err, eventlog.ErrTrimmed):
		return fmt.Errorf("%w: %w", landing.ErrTrimmed, err)
	case errors.As(err, &gap):
		return fmt.Errorf("%w: %w", landing.ErrGap, err)
	}
	return err
}

// speedSource is the log as the real-time views see it.
type speedSource struct{ source }

type speedReader struct{ logReader }

func (r speedReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := r.message(ctx)
	return m, speedError(err)
}

// Read opens a reader at a message of a partition.
func (s speedSource) Read(ctx context.Context, p int, from uint64) (realtime.Reader, error) {
	r, err := s.read(ctx, p, from)
	if err != nil {
		return nil, speedError(err)
	}
	return speedReader{r}, nil
}

func speedError(err error) error {
	var gap eventlog.ErrGap
	switch {
	case errors.Is(err, eventlog.ErrTrimmed):
		return fmt.Errorf("%w: %w", realtime.ErrTrimmed, err)
	case errors.As(err, &gap):
		return fmt.Errorf("%w: %w", realtime.ErrGap, err)
	}
	return err
}
