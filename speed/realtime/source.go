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
)

// Source is what the views need of the log. Errors that wrap neither position.ErrTrimmed nor
// position.ErrGap are retried.
type Source interface {
	// Read opens a reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
}
