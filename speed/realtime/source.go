package realtime

import (
	"context"
	"errors"

	"recount/schemas/eventbatch"
	"recount/schemas/query"
)

var (
	// ErrPinExpired means that the cut lies below the base: begin again with the newest publication (S4).
	ErrPinExpired = query.ErrPinExpired
	// ErrNotBoundary means that an offset which must be a segment boundary is none (S2). One
	// side applies another cut rule, or the offset belongs to another log.
	ErrNotBoundary = errors.New("offset is not a segment boundary")
	// ErrViewNotReady means that the views were opened with another definition of the view, or
	// without it. It ends with a restart on the new configuration.
	ErrViewNotReady = query.ErrViewNotReady
	// ErrGap means that the log lacks messages. A Source wraps it when those it should
	// read next are gone; any other error of a Source but ErrTrimmed is retried.
	ErrGap = errors.New("log has a gap")
	// ErrTrimmed is wrapped by a Source whose log begins above the wanted message. Only what
	// every kept publication covers is trimmed (L6), so there is a publication to go on from,
	// though this process may not have heard of it.
	ErrTrimmed = errors.New("log is trimmed above the wanted message")
)

// Source is what the views need of the log.
type Source interface {
	// Read opens a Reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (Reader, error)
}

// Reader hands out the messages of one partition in order.
type Reader interface {
	// Next returns the next message, waiting for it. The frame is used until the next call.
	Next(ctx context.Context) (eventbatch.Message, error)
	Close()
}
