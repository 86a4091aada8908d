package lake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"recount/schemas/record"
)

// ErrTooLarge is wrapped by the error of Get about an object that is larger than Config.MaxGet.
var ErrTooLarge = errors.New("object too large")

const firstPause = 50 * time.Millisecond

// pause returns how long to wait after a try, counted from 1. It is a random time up to a limit that
// doubles with each try, so that clients that failed together do not try again together.
func pause(attempt int, longest time.Duration) time.Duration {
	d := longest
	if shift := attempt - 1; shift < 16 {
		d = min(longest, firstPause<<shift)
	}
	return rand.N(d + 1)
}

// sleep waits for d. It returns the error of ctx if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryTimeout returns how long one try with a body of size bytes may last.
func (s *Store) tryTimeout(size int64) time.Duration {
	return s.cfg.Timeout + bodyTime(size)
}

// withDeadline bounds all tries of a request of the SDK together, and names their operation.
func (s *Store) withDeadline(ctx context.Context, operation string,
	size int64) (context.Context, context.CancelFunc) {
	longest := time.Duration(s.cfg.Attempts) * (s.tryTimeout(size) + s.cfg.Backoff)
	return context.WithTimeout(withOperation(ctx, operation), longest)
}

// statusOf returns the HTTP status of an error, 0 if there was no answer.
func statusOf(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// codeOf returns the S3 error code of an error, empty if it has none.
func codeOf(err error) string {
	var c interface{ ErrorCode() string }
	if errors.As(err, &c) {
		return c.ErrorCode()
	}
	return ""
}

// isRefused reports whether the answer means that the request was not executed and never will be. After
// any other answer, or none, the request may have been executed, or may succeed at another try.
func isRefused(err error) bool {
	switch status := statusOf(err); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return false
	default:
		return status >= 300 && status < 500
	}
}

// wrapError adds the operation and the key to an error, and returns nil for nil. A missing object becomes
// record.ErrNotFound. A missing bucket does not, because it must never look like a missing object.
func wrapError(err error, operation, key string) error {
	if err == nil {
		return nil
	}
	if statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket" && codeOf(err) != "NoSuchUpload" {
		return fmt.Errorf("%s %s: %w", operation, key, record.ErrNotFound)
	}
	return fmt.Errorf("%s %s: %w", operation, key, err)
}
