package eventbatch

import "context"

// Reader hands out the messages of one partition in order. Next may be called again after its
// context ended. Its errors wrap position.ErrTrimmed or position.ErrGap where the log cannot give
// the next message, ever; any other error may pass, so a caller tries again.
type Reader interface {
	// Next returns the next message, waiting for it. Nothing changes the frame afterwards, so Decode may refer to it.
	Next(ctx context.Context) (Message, error)
	Close()
}
