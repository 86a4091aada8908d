package eventlog

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrFull means that the message was not stored because there is no space: max bytes, the
	// server's storage or its account is used up. Retry after a trim.
	ErrFull = errors.New("log is full")
	// ErrUnavailable means that the server did not answer. The outcome of an append is
	// unknown: the message may be stored already, or may be stored later.
	ErrUnavailable = errors.New("log is unavailable")
	// ErrHalted means that nothing was stored because the server refuses writes after a disk
	// error. It refuses them until the cause is removed and the process is restarted.
	ErrHalted = errors.New("log is halted")
	// ErrTooLarge means that the frame is larger than MaxFrame. Nothing was stored.
	ErrTooLarge = errors.New("message is too large for the log")
	// ErrNotFound means that the log has no message at the wanted sequence: it has not assigned
	// the sequence yet, or it lost the message.
	ErrNotFound = errors.New("sequence is not in the log")
	// ErrAltered means that the streams do not have the settings of this configuration.
	ErrAltered = errors.New("log streams are not as configured")
	// ErrClosed means that the Log or Reader was closed.
	ErrClosed = errors.New("log is closed")
)

// The server's error codes for a message or a stream that it refuses.
const (
	codeAccountFull  = 10002 // resource limits exceeded for account
	codeServerFull   = 10023 // insufficient resources
	codeTooLarge     = 10054 // message size exceeds maximum
	codeWrongStream  = 10060 // expected stream does not match
	codeStorageFull  = 10047 // insufficient storage resources available
	codeStoreFailed  = 10077 // the store refused: max bytes, or a message beyond its format
	codeMaxStoreSize = 10122 // stream max bytes exceeds account limit
)

// The descriptions of codeStoreFailed that name the cause.
const (
	storeFull     = "maximum bytes exceeded"
	storeTooLarge = "message too large"
)

// classify wraps err in the sentinel that says what happened to the message. Its outcome is
// unknown (ErrUnavailable) unless the server clearly refused it.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case !errors.As(err, &api):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	switch api.ErrorCode {
	case codeAccountFull, codeServerFull, codeStorageFull, codeMaxStoreSize:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case codeStoreFailed:
		return classifyStore(api, err)
	case codeTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case codeWrongStream:
		return fmt.Errorf("%w: another stream has this partition's subject: %w", ErrAltered, err)
	case jetstream.JSErrCodeStreamNotFound:
		return fmt.Errorf("%w: the stream was deleted: %w", ErrAltered, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func classifyStore(api *jetstream.APIError, err error) error {
	switch api.Description {
	case storeFull:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case storeTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
