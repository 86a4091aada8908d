package realtime

import (
	"context"
	"errors"

	"recount/schemas/eventbatch"
	"recount/schemas/query"
)

var (
	// ErrPinExpired means that the cut is below the base: start again with the newest publication (S4).
	ErrPinExpired = query.ErrPinExpired
	// ErrNotBoundary means that an offset must be a segment boundary and is not (S2). Either one side
	// applies another cut rule, or the offset belongs to another log.
	ErrNotBoundary = errors.New("offset is not a segment boundary")
	// ErrViewNotReady means that the views were opened without this view, or with another definition
	// of it. Restart the process with the new configuration.
	ErrViewNotReady = query.ErrViewNotReady
)

// Source is the log as the views read it. An error is retried unless it wraps position.ErrTrimmed
// or position.ErrGap.
type Source interface {
	// Read opens a reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
}
