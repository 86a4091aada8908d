package batchview

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/query"
)

// GuardError says that ClickHouse does not have exactly the rows that the publication pins (Q3).
// It wraps query.ErrCollected, which is the harmless reason for that.
type GuardError struct {
	View        string
	Publication uint64
	// Want and Got are numbers of rows in the pinned buckets of the range.
	Want, Got uint64
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("batch view %s: publication %d names %d rows; ClickHouse has %d, or has them in other buckets",
		e.View, e.Publication, e.Want, e.Got)
}

// Unwrap makes errors.Is(err, query.ErrCollected) true.
func (e *GuardError) Unwrap() error { return query.ErrCollected }

// LimitError says that a scan costs more than Config allows. Reason says what to change.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return e.Reason }

// errMemory says that a statement needs more memory than it may use.
var errMemory = &LimitError{"the query needs too much memory; use fewer dimensions, fewer distinct measures or a " +
	"shorter range"}

// The exception codes of ClickHouse that classify handles.
const (
	codeUnknownTable = 60
	codeTooManyRows  = 158
	codeTimeout      = 159
	codeMemory       = 241
)

// classify turns exceptions of ClickHouse into errors that a caller can act on.
func classify(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ex *clickhouse.Exception
	if !errors.As(err, &ex) {
		return err
	}
	switch {
	case ex.Code == codeUnknownTable:
		return fmt.Errorf("%w: %w", query.ErrCollected, err)
	case ex.Code == codeTooManyRows:
		return &LimitError{"the query has too many groups; use fewer dimensions, a coarser granularity or a shorter " +
			"range"}
	case ex.Code == codeMemory && strings.Contains(ex.Message, "(total)"):
		return fmt.Errorf("%w: %w", query.ErrMemoryBusy, err) // All that the engine does needs too much.
	case ex.Code == codeMemory:
		return errMemory
	case ex.Code == codeTimeout:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}
