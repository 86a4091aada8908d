package lake

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	maxSinglePut  = 64 << 20 // bytes; larger objects go up in parts
	minPart       = 16 << 20 // bytes
	maxParts      = 10_000   // of the protocol
	parallelParts = 4
)

// Put stores size bytes of body under key, replacing what was there. When it returns
// nil they are durable. After an error the object may or may not be there, so callers
// use a key that no other attempt uses (C2). Body is read more than once and in parallel.
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if size > maxSinglePut {
		return s.putParts(ctx, key, body, size)
	}
	ctx, cancel := s.within(ctx, "put", size)
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: s.key(key), Body: io.NewSectionReader(body, 0, size), ContentLength: &size,
	})
	return failedUnless(err, "put", key)
}

// putParts uploads in parts. Own code instead of the SDK's upload manager: that one
// buffers parts in memory, and aborts an upload whose completion is unknown (O4).
func (s *Store) putParts(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	id, err := s.beginUpload(ctx, key)
	if err != nil {
		return err
	}
	parts, err := s.uploadParts(ctx, key, id, body, size)
	if err != nil {
		s.abortUpload(ctx, key, id)
		return err
	}
	return s.completeUpload(ctx, key, id, parts, size)
}

func (s *Store) beginUpload(ctx context.Context, key string) (*string, error) {
	ctx, cancel := s.within(ctx, "upload", 0)
	defer cancel()
	out, err := s.client.CreateMultipartUpload(ctx,
		&s3.CreateMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.key(key)})
	if err != nil {
		return nil, failed("begin upload of", key, err)
	}
	return out.UploadId, nil
}

// partSize returns the size of all parts but the last, a multiple of 1 MiB.
func partSize(size int64) int64 {
	least := (size + maxParts - 1) / maxParts
	const mib = 1 << 20
	return max(minPart, (least+mib-1)/mib*mib)
}

func (s *Store) uploadParts(ctx context.Context, key string, id *string, body io.ReaderAt,
	size int64) ([]types.CompletedPart, error) {
	step := partSize(size)
	parts := make([]types.CompletedPart, (size+step-1)/step)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelParts)
	for i := range parts {
		g.Go(func() error {
			from := int64(i) * step
			n := min(step, size-from)
			number := int32(i + 1)
			ctx, cancel := s.within(ctx, "part", n)
			defer cancel()
			out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id, PartNumber: &number,
				Body: io.NewSectionReader(body, from, n), ContentLength: &n,
			})
			if err != nil {
				return failed(fmt.Sprintf("upload part %d of", number), key, err)
			}
			parts[i] = types.CompletedPart{PartNumber: &number, ETag: out.ETag}
			return nil
		})
	}
	return parts, g.Wait()
}

// completeUpload makes the object of its parts. If the answer is lost and a second
// try finds no upload any more, the object tells whether the first one worked.
func (s *Store) completeUpload(ctx context.Context, key string, id *string, parts []types.CompletedPart,
	size int64) error {
	within, cancel := s.within(ctx, "complete", size)
	defer cancel()
	_, err := s.client.CompleteMultipartUpload(within, &s3.CompleteMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err == nil {
		return nil
	}
	unknown := !refused(err) || codeOf(err) == "NoSuchUpload"
	if info, herr := s.Head(ctx, key); unknown && herr == nil && info.Size == size {
		return nil
	}
	return failed("complete upload of", key, err)
}

// abortUpload frees the parts of an upload that was never asked to complete. The
// caller's context may be what failed.
func (s *Store) abortUpload(ctx context.Context, key string, id *string) {
	ctx, cancel := s.within(context.WithoutCancel(ctx), "abort", 0)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx,
		&s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id}, once)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "parts of an upload stay behind; let the bucket's lifecycle rule remove them",
			"key", key, "error", err)
	}
}
