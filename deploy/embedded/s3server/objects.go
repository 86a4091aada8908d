package s3server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"

	"github.com/rclone/gofakes3"
)

// open returns the current object of a key, once it is durable (E3).
func (b *backend) open(bucket, key string) (*stored, error) {
	_, path, err := b.path(bucket, key)
	if err != nil {
		return nil, err
	}
	return b.openFile(key, path, true)
}

func (b *backend) openFile(key, path string, withHeaders bool) (*stored, error) {
	s, err := b.openLocked(path, withHeaders)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gofakes3.KeyNotFound(key)
	}
	if err == nil && s.MD5 == nil && !b.isFirst {
		if err = b.complete(s, path); err != nil {
			s.File.Close()
		}
	}
	return s, err
}

func (b *backend) openLocked(path string, withHeaders bool) (*stored, error) {
	l := b.lock(path)
	l.RLock()
	defer l.RUnlock()
	if b.isFirst {
		return openFirst(path)
	}
	return b.openPlain(path, withHeaders)
}

func (s *stored) object(key string) *gofakes3.Object {
	headers := map[string]string{"Last-Modified": s.Modified.UTC().Format(http.TimeFormat)}
	maps.Copy(headers, s.Headers)
	return &gofakes3.Object{Name: key, Metadata: headers, Size: s.Size, Hash: s.MD5, Contents: http.NoBody}
}

// HeadObject implements gofakes3.Backend.
func (b *backend) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	s, err := b.open(bucket, key)
	if err != nil {
		return nil, err
	}
	return s.object(key), s.File.Close()
}

// GetObject implements gofakes3.Backend.
func (b *backend) GetObject(_ context.Context, bucket, key string,
	want *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	s, err := b.open(bucket, key)
	if err != nil {
		return nil, err
	}
	r, err := byteRange(want, s.Size)
	if err != nil {
		s.File.Close()
		return nil, err
	}
	o := s.object(key)
	start := int64(0)
	n := s.Size
	if r != nil {
		start = r.Start
		n = r.Length
	}
	if _, err := s.File.Seek(start, io.SeekStart); err != nil {
		s.File.Close()
		return nil, fmt.Errorf("seek %q: %w", key, err)
	}
	o.Range = r
	o.Contents = &body{LimitedReader: io.LimitedReader{R: s.File, N: n}, file: s.File}
	return o, nil
}

// byteRange resolves a range as S3 does: ends beyond the object are cut, and a
// suffix longer than it is all of it, where gofakes3 would refuse.
func byteRange(r *gofakes3.ObjectRangeRequest, size int64) (*gofakes3.ObjectRange, error) {
	if r == nil {
		return nil, nil
	}
	want := *r
	switch {
	case want.FromEnd && want.End > size:
		want = gofakes3.ObjectRangeRequest{End: gofakes3.RangeNoEnd}
	case !want.FromEnd && want.End >= size:
		want.End = gofakes3.RangeNoEnd
	}
	return want.Range(size)
}

// body is a stretch of an object file. WriteTo shows io.Copy the file itself, so that
// the kernel sends it.
type body struct {
	io.LimitedReader
	file *os.File
}

func (c *body) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, &c.LimitedReader) }
func (c *body) Close() error                       { return c.file.Close() }

// PutObject implements gofakes3.Backend.
func (b *backend) PutObject(ctx context.Context, bucket, key string, meta map[string]string, input io.Reader,
	size int64) (gofakes3.PutObjectResult, error) {
	s, err := b.spoolObject(input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	return gofakes3.PutObjectResult{ETag: s.etag()}, b.commit(ctx, bucket, key, s, meta)
}

// CopyObject implements gofakes3.Backend.
func (b *backend) CopyObject(ctx context.Context, srcBucket, srcKey, bucket, key string,
	meta map[string]string) (gofakes3.CopyObjectResult, error) {
	o, err := b.GetObject(ctx, srcBucket, srcKey, nil)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	defer o.Contents.Close()
	res, err := b.PutObject(ctx, bucket, key, meta, o.Contents, o.Size)
	return gofakes3.CopyObjectResult{ETag: res.ETag, LastModified: gofakes3.NewContentTime(b.now().UTC())}, err
}

// DeleteObject implements gofakes3.Backend.
func (b *backend) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, b.remove(bucket, key)
}

// DeleteMulti implements gofakes3.Backend.
func (b *backend) DeleteMulti(_ context.Context, bucket string, keys ...string) (res gofakes3.MultiDeleteResult,
	err error) {
	for _, key := range keys {
		if err := b.remove(bucket, key); err != nil {
			failed := gofakes3.ErrorResultFromError(err)
			failed.Key = key
			res.Error = append(res.Error, failed)
			continue
		}
		res.Deleted = append(res.Deleted, gofakes3.ObjectID{Key: key})
	}
	return res, nil
}
