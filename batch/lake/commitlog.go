package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// maxKeys is the largest number of keys that List returns: 30-second segments of 32 partitions for a year.
const maxKeys = 32 << 20

// Backend is the store that a CommitLog uses. Store is one, and the simulation has another.
type Backend interface {
	// CreateOnce tries once to store body under key if the key has nothing yet. If the store has
	// answered, the error has the HTTP status (a method HTTPStatusCode).
	CreateOnce(ctx context.Context, key string, body []byte) error
	// GetOnce tries once to read key. The error wraps record.ErrNotFound if the key has nothing.
	GetOnce(ctx context.Context, key string) ([]byte, error)
	// Get is GetOnce with as many tries as the store allows.
	Get(ctx context.Context, key string) ([]byte, error)
	// List yields the objects below prefix whose key is above startAfter, in byte order.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error]
}

// CommitLog keeps create-only records in a store. Each is stored with its digest (record.WithDigest),
// so a read returns the bytes that were written, or an error.
type CommitLog struct {
	store    Backend
	attempts int
	backoff  time.Duration
}

// NewCommitLog returns the commit log in a store. Call Store.Probe before you rely on it.
func NewCommitLog(store *Store) *CommitLog {
	return CommitLogOver(store, store.cfg.Attempts, store.cfg.Backoff)
}

// CommitLogOver returns a commit log in a backend. It makes up to attempts tries, with pauses of up to backoff.
func CommitLogOver(b Backend, attempts int, backoff time.Duration) *CommitLog {
	return &CommitLog{store: b, attempts: attempts, backoff: backoff}
}

// Create stores body under key if the key has nothing yet. It returns Created if this body is in place
// (O3), and Exists with the body that is there instead. If an answer leaves the outcome open, Create
// reads the record back (C5): its own body means Created, another body means Exists, and no body
// means that it tries again. With an error the outcome is Unknown (O2).
func (l *CommitLog) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	var last error
	stored := record.WithDigest(body)
	for attempt := 1; attempt <= l.attempts; attempt++ {
		put := l.store.CreateOnce(ctx, key, stored)
		if put == nil {
			return record.Created, nil, nil
		}
		if failpoint.Off(failpoint.C5) && !isRefused(put) {
			return record.Created, nil, nil
		}
		there, err := l.store.GetOnce(ctx, key)
		if err == nil {
			there, err = record.CheckDigest(there)
		}
		switch {
		case err == nil && bytes.Equal(there, body):
			return record.Created, nil, nil
		case err == nil:
			return record.Exists, there, nil
		case errors.Is(err, record.ErrNotFound) && isRefused(put):
			return record.Unknown, nil, put
		}
		last = put
		if !errors.Is(err, record.ErrNotFound) {
			last = errors.Join(put, err)
		}
		if attempt < l.attempts && sleep(ctx, pause(attempt, l.backoff)) != nil {
			break
		}
	}
	return record.Unknown, nil, fmt.Errorf("create %s: the outcome is unknown: %w", key, last)
}

// CreateOnce implements Backend by PutObject with If-None-Match. The SDK does not retry it, because
// after a lost reply the second try would find the body of the first.
func (s *Store) CreateOnce(ctx context.Context, key string, body []byte) error {
	ctx, cancel := context.WithTimeout(withOperation(ctx, "create"), s.tryTimeout(int64(len(body))))
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: s.key(key), Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
	}, withoutRetry)
	return wrapError(err, "create", key)
}

// GetOnce implements Backend. It makes one try, because Create itself tries again.
func (s *Store) GetOnce(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(withOperation(ctx, "readback"), s.tryTimeout(s.cfg.MaxGet))
	defer cancel()
	return s.getOnce(ctx, key, withoutRetry)
}

// Get returns a record. The error wraps record.ErrNotFound if there is none. It wraps
// record.ErrCorrupt if no read returned the bytes that were written: then the store has lost them.
func (l *CommitLog) Get(ctx context.Context, key string) ([]byte, error) {
	var corrupt error
	for attempt := 1; attempt <= l.attempts; attempt++ {
		stored, err := l.store.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		raw, err := record.CheckDigest(stored)
		if err == nil {
			return raw, nil
		}
		corrupt = err
		if attempt < l.attempts && sleep(ctx, pause(attempt, l.backoff)) != nil {
			break
		}
	}
	return nil, fmt.Errorf("get %s: no read returned the bytes that were written: %w; restore this object from a copy "+
		"of the bucket or an older version of it: recount verify names every damaged one", key, corrupt)
}

// List returns the keys of the records below prefix in byte order.
func (l *CommitLog) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for info, err := range l.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("list %s: more than %d records: use a longer prefix", prefix, maxKeys)
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}
