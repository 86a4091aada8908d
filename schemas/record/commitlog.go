package record

import (
	"context"
	"errors"
)

// CommitLog keeps create-only records: a key that has a body keeps it for ever. Everything big
// counts only once a record that names it has been created (PROTOCOL.md, "The one trick").
// Package recordtest holds what every implementation must do.
type CommitLog interface {
	// Create puts body under key if there is nothing yet. It returns Created if the very bytes of
	// body are in place, Exists with what is there instead, and Unknown only with an error: the
	// record may be there, or still arrive.
	Create(ctx context.Context, key string, body []byte) (Outcome, []byte, error)
	// Get returns a record. The error wraps ErrNotFound if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// List returns the keys below prefix in byte order.
	List(ctx context.Context, prefix string) ([]string, error)
}

// Outcome is what a create-only write came to.
type Outcome int

// The outcomes of Create. A caller never sees Unknown without an error.
const (
	Unknown Outcome = iota
	Created         // this body is in place
	Exists          // another body is in place
)

// ErrNotFound is wrapped by the error about a key under which the object store has nothing,
// neither a record nor an object.
var ErrNotFound = errors.New("no such object")

// ErrObjectLost is wrapped by the error about an object that a commit record names and that only an operator can
// restore: the store lacks it, and so does the log.
var ErrObjectLost = errors.New("the object is lost")
