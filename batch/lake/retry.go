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

// ErrTooLarge is wrapped by the error of Get about an object above Config.MaxGet.
var ErrTooLarge = errors.New("object too large")

const firstPause = 50 * time.Millisecond

// pause returns how long to wait after the attempt-th try (from 1): full jitter, so that
// clients that failed together do not come back together.
func pause(attempt int, most time.Duration) time.Duration {
	d := most
	if shift := attempt - 1; shift < 16 {
		d = min(most, firstPause<<shift)
	}
	return rand.N(d + 1)
}

// sleep waits, or returns the context's error.
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

// allowance is how long one try with a body of size bytes may take.
func (s *Store) allowance(size int64) time.Duration {
	return s.cfg.Timeout + perMiB(size)
}

// within bounds a request of the SDK, all its tries together.
func (s *Store) within(ctx context.Context, op string, size int64) (context.Context, context.CancelFunc) {
	most := time.Duration(s.cfg.Attempts) * (s.allowance(size) + s.cfg.Backoff)
	return context.WithTimeout(withOp(ctx, op), most)
}

// statusOf returns the HTTP status an error came with, 0 if there was no answer.
func statusOf(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// codeOf returns the S3 error code an error came with, empty if none.
func codeOf(err error) string {
	var c interface{ ErrorCode() string }
	if errors.As(err, &c) {
		return c.ErrorCode()
	}
	return ""
}

// refused reports whether an answer says for good that the request was not executed.
// Everything else, also no answer, may have been, or is worth another try.
func refused(err error) bool {
	switch status := statusOf(err); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return false
	default:
		return status >= 300 && status < 500
	}
}

// failed wraps an error with the operation, and says not found where that is it. A
// missing bucket is another matter: it must never pass for a missing object.
func failed(op, key string, err error) error {
	if statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket" && codeOf(err) != "NoSuchUpload" {
		return fmt.Errorf("%s %s: %w", op, key, record.ErrNotFound)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
