package position

import (
	"errors"
	"fmt"
)

// The reasons for which the log can never give the message at a position. Every layer that reads
// the log meets in these; wrap them with the detail.
var (
	// ErrTrimmed means that the log begins above the wanted message (C6). Only messages that every
	// kept publication covers are trimmed (L6), though the reader may not have heard of one yet.
	ErrTrimmed = errors.New("the log is trimmed above the wanted message")
	// ErrGap means that the log lacks the wanted message although it has, or had, a later one.
	// Only an operator moves past it (C7).
	ErrGap = errors.New("the log has a gap")
)

// GapError is ErrGap with its place: the log lacks the messages [Want, Got), or ends at Got, below Want.
type GapError struct {
	Partition int
	Want, Got uint64
}

// Error implements error.
func (e GapError) Error() string {
	if e.Got < e.Want {
		return fmt.Sprintf("the log of partition %d has a gap: it ends at %d, below message %d", e.Partition, e.Got,
			e.Want)
	}
	return fmt.Sprintf("the log of partition %d has a gap: it lacks messages [%d, %d)", e.Partition, e.Want, e.Got)
}

// Unwrap returns ErrGap.
func (GapError) Unwrap() error { return ErrGap }
