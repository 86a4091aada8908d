package s3server

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
)

// upload is a multipart upload. Its parts are in tmp/ and end with the process (E5).
type upload struct {
	bucket, key string
	meta        map[string]string
	touched     time.Time // guarded by backend.uploadMu

	mu     sync.Mutex // taken before backend.uploadMu
	parts  map[int]spooled
	closed bool   // completed or aborted
	etag   string // once completed
}

func (b *backend) upload(bucket, key string, id gofakes3.UploadID) (*upload, error) {
	b.uploadMu.Lock()
	defer b.uploadMu.Unlock()
	u, ok := b.uploads[id]
	if !ok || u.bucket != bucket || u.key != key {
		return nil, gofakes3.ErrNoSuchUpload
	}
	u.touched = b.now()
	return u, nil
}

// CreateMultipartUpload implements gofakes3.MultipartBackend.
func (b *backend) CreateMultipartUpload(_ context.Context, bucket, key string,
	meta map[string]string) (gofakes3.UploadID, error) {
	if _, _, err := b.path(bucket, key); err != nil {
		return "", err
	}
	b.reapUploads()
	b.uploadMu.Lock()
	defer b.uploadMu.Unlock()
	if len(b.uploads) >= maxUploads {
		return "", gofakes3.ErrorMessagef(gofakes3.ErrSlowDown, "There are %d multipart uploads open already.",
			maxUploads)
	}
	id := gofakes3.UploadID(rand.Text())
	b.uploads[id] = &upload{bucket: bucket, key: key, meta: meta, touched: b.now(), parts: map[int]spooled{}}
	return id, nil
}

// reapUploads drops the uploads to which no part was added for a day.
func (b *backend) reapUploads() {
	idle := map[gofakes3.UploadID]*upload{}
	b.uploadMu.Lock()
	for id, u := range b.uploads {
		if b.now().Sub(u.touched) > uploadIdle {
			idle[id] = u
		}
	}
	b.uploadMu.Unlock()
	for id, u := range idle {
		b.drop(id, u)
		b.forget(u.bucket, u.key, id)
	}
}

// UploadPart implements gofakes3.MultipartBackend.
func (b *backend) UploadPart(_ context.Context, bucket, key string, id gofakes3.UploadID, number int, size int64,
	input io.Reader) (string, error) {
	u, err := b.upload(bucket, key, id)
	if err != nil {
		return "", err
	}
	part, err := spool(b.tmp, input, size, nil)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		os.Remove(part.path)
		return "", gofakes3.ErrNoSuchUpload
	}
	if old, ok := u.parts[number]; ok {
		os.Remove(old.path)
	}
	u.parts[number] = part
	return part.etag(), nil
}

// CompleteMultipartUpload implements gofakes3.MultipartBackend. The object's ETag is the
// MD5 of its bytes, not of its parts: gofakes3 cannot show S3's "-N" ending, and an ETag
// without it is taken for the MD5 of the body.
func (b *backend) CompleteMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID,
	in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	u, err := b.upload(bucket, key, id)
	if err != nil {
		return "", "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return "", u.etag, u.closedError()
	}
	parts, size, err := u.chosen(in)
	if err != nil {
		return "", "", err
	}
	s, err := b.spoolObject(&partReader{parts: parts}, size)
	if err != nil {
		return "", "", err
	}
	if err := b.commit(ctx, bucket, key, s, u.meta); err != nil {
		return "", "", err
	}
	u.etag = s.etag()
	b.closeLocked(id, u)
	return "", u.etag, nil
}

// closedError distinguishes a second completion, which succeeds, from one after an abort.
func (u *upload) closedError() error {
	if u.etag == "" {
		return gofakes3.ErrNoSuchUpload
	}
	return nil
}

// chosen returns the parts a completion names, in order. u.mu must be held.
func (u *upload) chosen(in *gofakes3.CompleteMultipartUploadRequest) (parts []spooled, size int64, err error) {
	if len(in.Parts) == 0 {
		return nil, 0, gofakes3.ErrorMessage(gofakes3.ErrMalformedXML, "You must specify at least one part.")
	}
	last := 0
	for _, p := range in.Parts {
		if p.PartNumber <= last {
			return nil, 0, gofakes3.ErrInvalidPartOrder
		}
		last = p.PartNumber
		part, ok := u.parts[p.PartNumber]
		if !ok || strings.Trim(p.ETag, `"`) != strings.Trim(part.etag(), `"`) {
			return nil, 0, gofakes3.ErrorMessagef(gofakes3.ErrInvalidPart, "Part %d is missing or has another ETag.",
				p.PartNumber)
		}
		parts = append(parts, part)
		size += part.size
	}
	return parts, size, nil
}

// AbortMultipartUpload implements gofakes3.MultipartBackend.
func (b *backend) AbortMultipartUpload(_ context.Context, bucket, key string, id gofakes3.UploadID) error {
	if u, err := b.upload(bucket, key, id); err == nil {
		b.drop(id, u)
	}
	return nil
}

func (b *backend) drop(id gofakes3.UploadID, u *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b.closeLocked(id, u)
}

// closeLocked ends an upload and removes its parts. u.mu must be held.
func (b *backend) closeLocked(id gofakes3.UploadID, u *upload) {
	u.closed = true
	for _, p := range u.parts {
		os.Remove(p.path)
	}
	clear(u.parts)
	b.uploadMu.Lock()
	defer b.uploadMu.Unlock()
	delete(b.uploads, id)
}

// partReader reads parts one after the other, with one file open at a time.
type partReader struct {
	parts []spooled
	file  *os.File
}

func (r *partReader) Read(p []byte) (int, error) {
	for {
		if r.file == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			f, err := os.Open(r.parts[0].path)
			if err != nil {
				return 0, fmt.Errorf("open part: %w", err)
			}
			r.file = f
			r.parts = r.parts[1:]
		}
		n, err := r.file.Read(p)
		if err != io.EOF {
			return n, err
		}
		if err := r.file.Close(); err != nil {
			return n, err
		}
		r.file = nil
		if n > 0 {
			return n, nil
		}
	}
}
