package stack

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/landing"
	"recount/schemas/eventbatch"
	"recount/schemas/fault"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// source gives the two consumers of the log its messages in their own terms; they
// do not know each other or the log.
type source struct{ log *eventlog.Log }

// message reads the next message.
func message(ctx context.Context, r *eventlog.Reader) (eventbatch.Message, error) {
	m, err := r.Next(ctx)
	if err != nil {
		return eventbatch.Message{}, err
	}
	return eventbatch.Message{Seq: m.Seq, Frame: m.Data}, nil
}

// landingSource is the log as the landing sees it.
type landingSource struct{ source }

type landingReader struct{ *eventlog.Reader }

func (r landingReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := message(ctx, r.Reader)
	return m, landingError(err)
}

// Read opens a reader at a message of a partition.
func (s landingSource) Read(ctx context.Context, p int, from uint64) (landing.Reader, error) {
	r, err := s.log.Read(ctx, p, from)
	if err != nil {
		return nil, landingError(err)
	}
	return landingReader{r}, nil
}

// Heartbeat appends a message without events, which ends an idle segment (C1).
func (s landingSource) Heartbeat(ctx context.Context, p int) error {
	_, err := s.log.Append(ctx, p, eventbatch.AppendHeartbeat(nil, fault.Now().UnixMicro()), "")
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

type speedReader struct{ *eventlog.Reader }

func (r speedReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := message(ctx, r.Reader)
	return m, speedError(err)
}

// Read opens a reader at a message of a partition.
func (s speedSource) Read(ctx context.Context, p int, from uint64) (realtime.Reader, error) {
	r, err := s.log.Read(ctx, p, from)
	if err != nil {
		return nil, speedError(err)
	}
	return speedReader{r}, nil
}

func speedError(err error) error {
	var gap eventlog.ErrGap
	if errors.Is(err, eventlog.ErrTrimmed) || errors.As(err, &gap) {
		return fmt.Errorf("%w: %w", realtime.ErrGap, err)
	}
	return err
}
