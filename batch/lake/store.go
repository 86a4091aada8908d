package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"recount/schemas/record"
)

// Store is a bucket, or the part of a bucket below a prefix. Keys are relative to the prefix. A Store is
// safe for concurrent use.
type Store struct {
	cfg       Config
	client    *s3.Client
	transport http.RoundTripper
}

// Info describes an object.
type Info struct {
	Key      string
	Size     int64 // bytes
	ETag     string
	Modified time.Time
}

// Open connects to the store and checks that the bucket exists. It creates a missing bucket if the
// configuration allows it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register lake metrics: %w", err)
	}
	s := &Store{cfg: cfg, transport: cfg.Transport}
	if s.transport == nil {
		s.transport = newTransport()
	}
	if s.client, err = newClient(ctx, cfg, &wire{next: s.transport, metrics: m, timeout: cfg.Timeout}); err != nil {
		return nil, err
	}
	if err := s.ensureBucket(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes idle connections. Requests that are under way continue.
func (s *Store) Close() {
	if t, ok := s.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// ensureBucket looks for the bucket, and creates it if it is missing and may be created.
func (s *Store) ensureBucket(ctx context.Context) error {
	ctx, cancel := s.withDeadline(ctx, "bucket", 0)
	defer cancel()
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.cfg.Bucket})
	switch {
	case err == nil:
		return nil
	case statusOf(err) != http.StatusNotFound:
		return fmt.Errorf("look for bucket %s: %w", s.cfg.Bucket, err)
	case !s.cfg.CreateBucket || s.cfg.ReadOnly:
		return fmt.Errorf("look for bucket %s: it does not exist: create it, or correct object_store.url", s.cfg.Bucket)
	}
	s.cfg.Logger.InfoContext(ctx, "the object store has no such bucket, so it is created", "bucket", s.cfg.Bucket)
	_, err = s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.cfg.Bucket}, withoutRetry)
	if err == nil {
		return nil
	}
	// Another process may have been first, or the reply was lost.
	if _, headErr := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.cfg.Bucket}); headErr != nil {
		return fmt.Errorf("create bucket %s: %w", s.cfg.Bucket, err)
	}
	return nil
}

// key returns the key with the prefix.
func (s *Store) key(key string) *string { return aws.String(s.cfg.Prefix + key) }

// URL returns the address of an object as other programs write it.
func (s *Store) URL(key string) string { return "s3://" + s.cfg.Bucket + "/" + *s.key(key) }

// Head describes an object. The error wraps record.ErrNotFound if there is none.
func (s *Store) Head(ctx context.Context, key string) (Info, error) {
	ctx, cancel := s.withDeadline(ctx, "head", 0)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: s.key(key)})
	if err != nil {
		return Info{}, wrapError(err, "head", key)
	}
	return Info{Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag),
		Modified: aws.ToTime(out.LastModified)}, nil
}

// Enclosing returns a shorter prefix of the bucket under which the key exists. Two stores must not overlap: what one
// keeps below its prefix would look like garbage to the other.
func (s *Store) Enclosing(ctx context.Context, key string) (prefix string, found bool, err error) {
	outer := *s
	for outer.cfg.Prefix != "" {
		trimmed := strings.TrimSuffix(outer.cfg.Prefix, "/")
		outer.cfg.Prefix = trimmed[:strings.LastIndex(trimmed, "/")+1]
		switch _, err := outer.Head(ctx, key); {
		case err == nil:
			return outer.cfg.Prefix, true, nil
		case !errors.Is(err, record.ErrNotFound):
			return "", false, err
		}
	}
	return "", false, nil
}

// Get returns a whole object. The error wraps record.ErrNotFound if there is none, and ErrTooLarge if it
// is larger than Config.MaxGet.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := s.withDeadline(ctx, "get", s.cfg.MaxGet)
	defer cancel()
	var raw []byte
	var err error
	// The SDK retries until the answer begins. A body that breaks off is retried here.
	for attempt := 1; attempt <= s.cfg.Attempts; attempt++ {
		if raw, err = s.getOnce(ctx, key); !errors.Is(err, errBody) || ctx.Err() != nil {
			break
		}
		if sleep(ctx, pause(attempt, s.cfg.Backoff)) != nil {
			break
		}
	}
	return raw, err
}

// errBody is wrapped by the error about a body that is shorter than its length.
var errBody = errors.New("the body broke off")

// getOnce gets a whole object without retrying a body that breaks off.
func (s *Store) getOnce(ctx context.Context, key string, opts ...func(*s3.Options)) ([]byte, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: s.key(key)}, opts...)
	if err != nil {
		return nil, wrapError(err, "get", key)
	}
	defer out.Body.Close()
	if out.ContentLength == nil {
		return nil, fmt.Errorf("get %s: the answer has no length", key)
	}
	size := *out.ContentLength
	if size > s.cfg.MaxGet {
		return nil, fmt.Errorf("get %s: %w: %d bytes, above the limit of %d", key, ErrTooLarge, size, s.cfg.MaxGet)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(out.Body, raw); err != nil {
		return nil, fmt.Errorf("get %s: %w: %w", key, errBody, err)
	}
	return raw, nil
}

// List yields the objects whose key begins with prefix and is above startAfter, in byte order. It requests
// pages of 1,000 objects. An error ends the sequence.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: s.key(prefix)}
		if startAfter != "" {
			in.StartAfter = s.key(startAfter)
		}
		for {
			out, err := s.listPage(ctx, in)
			if err != nil {
				yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range out.Contents {
				info := Info{
					Key:  strings.TrimPrefix(aws.ToString(o.Key), s.cfg.Prefix),
					Size: aws.ToInt64(o.Size), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified),
				}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(Info{}, fmt.Errorf("list %s: the store says that it has more objects and gives no token for them",
					prefix))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

func (s *Store) listPage(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := s.withDeadline(ctx, "list", 0)
	defer cancel()
	return s.client.ListObjectsV2(ctx, in)
}

// parallelDeletes is how many deletions of one call are under way at a time.
const parallelDeletes = 8

// Delete deletes objects. It is no error if a key has none. Each key is a request of its own, because not
// every S3 store knows DeleteObjects; several requests are under way at a time.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelDeletes)
	for _, key := range keys {
		g.Go(func() error {
			ctx, cancel := s.withDeadline(ctx, "delete", 0)
			defer cancel()
			_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: s.key(key)})
			if err = wrapError(err, "delete", key); errors.Is(err, record.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return g.Wait()
}
