package realtime

import (
	"context"
	"errors"

	"recount/schemas/eventbatch"
)

// ErrNotBoundary means that an offset must be a segment boundary and is not (S2). Either one side
// applies another cut rule, or the offset belongs to another log.
var ErrNotBoundary = errors.New("offset is not a segment boundary")

// Source is the log as the views read it. An error is retried unless it wraps position.ErrTrimmed
// or position.ErrGap.
type Source interface {
	// Read opens a reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
}
