package batchview

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/query"
	"recount/schemas/record"
)

// GuardError says that ClickHouse does not have exactly the rows that the publication pins (Q3).
// It wraps query.ErrCollected, which is the harmless reason for that.
type GuardError struct {
	View        string
	Publication uint64
	// Want is the first pinned bucket with other rows, and Got is what ClickHouse has of its version.
	Want, Got record.BucketVersion
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("batch view %s: publication %d names %d rows with checksum %016x in bucket %s; ClickHouse has "+
		"%d rows with checksum %016x", e.View, e.Publication, e.Want.Rows, e.Want.Checksum,
		time.UnixMicro(e.Want.Bucket).UTC().Format(time.RFC3339), e.Got.Rows, e.Got.Checksum)
}

// Unwrap makes errors.Is(err, query.ErrCollected) true.
func (e *GuardError) Unwrap() error { return query.ErrCollected }

// LimitError says that a scan costs more than Config allows. Reason says what to change.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return e.Reason }

// errMemory says that a statement needs more memory than it may use.
var errMemory = &LimitError{"the query needs too much memory; use fewer dimensions, fewer distinct measures or a " +
	"shorter range"}

// errNewValue says that a row has a value of a dimension that its statement has no code for.
var errNewValue = errors.New("a dimension has a value without a code")

// The exception codes of ClickHouse that classify handles.
const (
	codeUnknownTable = 60
	codeTooManyRows  = 158
	codeTimeout      = 159
	codeMemory       = 241
	codeDenied       = 497
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
	case ex.Code == codeDenied:
		return fmt.Errorf("%w; the user of clickhouse.url needs SELECT on system.parts and system.columns", err)
	case ex.Code == codeTimeout:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}
