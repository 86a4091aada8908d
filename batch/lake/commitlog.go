package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"recount/schemas/record"
)

// maxKeys is the most keys List returns: 30-second segments of 32 partitions for a year.
const maxKeys = 32 << 20

// CommitLog keeps create-only records in a Store, by PutObject with If-None-Match.
type CommitLog struct{ store *Store }

// NewCommitLog returns the commit log in a store. Call Store.Probe once before relying on it.
func NewCommitLog(store *Store) *CommitLog { return &CommitLog{store: store} }

// Create puts body under key if there is nothing yet. It returns Created if body is in
// place and Exists with the body that is there instead. Whenever an answer leaves the
// outcome open it reads the record back (C5): mine = done, another's = I lost, absent =
// try again. With an error the outcome is Unknown (O2).
func (l *CommitLog) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	var last error
	for attempt := 1; attempt <= l.store.cfg.Attempts; attempt++ {
		put := l.put(ctx, key, body)
		if put == nil {
			return record.Created, nil, nil
		}
		there, err := l.readBack(ctx, key)
		switch {
		case err == nil && bytes.Equal(there, body):
			return record.Created, nil, nil
		case err == nil:
			return record.Exists, there, nil
		case errors.Is(err, ErrNotFound) && refused(put):
			return record.Unknown, nil, put
		}
		last = put
		if !errors.Is(err, ErrNotFound) {
			last = errors.Join(put, err)
		}
		if attempt < l.store.cfg.Attempts && sleep(ctx, pause(attempt, l.store.cfg.Backoff)) != nil {
			break
		}
	}
	return record.Unknown, nil, fmt.Errorf("create %s: the outcome is unknown: %w", key, last)
}

// put makes one try. The SDK does not retry it: after a lost reply its second try would
// only find its first.
func (l *CommitLog) put(ctx context.Context, key string, body []byte) error {
	ctx, cancel := context.WithTimeout(withOp(ctx, "create"), l.store.allowance(int64(len(body))))
	defer cancel()
	_, err := l.store.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &l.store.cfg.Bucket, Key: l.store.key(key), Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
	}, once)
	return failedUnless(err, "create", key)
}

// readBack makes one try too: Create itself goes on trying.
func (l *CommitLog) readBack(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(withOp(ctx, "readback"), l.store.allowance(l.store.cfg.MaxGet))
	defer cancel()
	return l.store.getOnce(ctx, key, once)
}

// Get returns a record. The error wraps ErrNotFound if there is none.
func (l *CommitLog) Get(ctx context.Context, key string) ([]byte, error) {
	return l.store.Get(ctx, key)
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
