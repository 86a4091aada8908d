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
	maxSinglePut  = 64 << 20 // bytes; larger objects are uploaded in parts
	minPart       = 16 << 20 // bytes
	maxParts      = 10_000   // the limit of S3
	parallelParts = 4
)

// Put stores size bytes of body under key, and replaces what was there. When it returns nil, the object
// is durable. After an error the object may be there or not, so callers use a key that no other
// attempt uses (C2). The body may be read more than once and in parallel.
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if size > maxSinglePut {
		return s.putParts(ctx, key, body, size)
	}
	ctx, cancel := s.withDeadline(ctx, "put", size)
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: s.key(key), Body: io.NewSectionReader(body, 0, size), ContentLength: &size,
	})
	return wrapError(err, "put", key)
}

// putParts uploads the object in parts. The upload manager of the SDK is not used, because it buffers
// parts in memory, and aborts an upload whose completion is unknown (O4).
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
	ctx, cancel := s.withDeadline(ctx, "upload", 0)
	defer cancel()
	out, err := s.client.CreateMultipartUpload(ctx,
		&s3.CreateMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.key(key)})
	if err != nil {
		return nil, wrapError(err, "begin upload of", key)
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
			ctx, cancel := s.withDeadline(ctx, "part", n)
			defer cancel()
			out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id, PartNumber: &number,
				Body: io.NewSectionReader(body, from, n), ContentLength: &n,
			})
			if err != nil {
				return wrapError(err, fmt.Sprintf("upload part %d of", number), key)
			}
			parts[i] = types.CompletedPart{PartNumber: &number, ETag: out.ETag}
			return nil
		})
	}
	return parts, g.Wait()
}

// completeUpload makes the object from its parts. If the answer is lost, a second try may find that the
// upload is gone. Then the size of the object says whether the first try worked.
func (s *Store) completeUpload(ctx context.Context, key string, id *string, parts []types.CompletedPart,
	size int64) error {
	limited, cancel := s.withDeadline(ctx, "complete", size)
	defer cancel()
	_, err := s.client.CompleteMultipartUpload(limited, &s3.CompleteMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err == nil {
		return nil
	}
	unknown := !isRefused(err) || codeOf(err) == "NoSuchUpload"
	if info, headErr := s.Head(ctx, key); unknown && headErr == nil && info.Size == size {
		return nil
	}
	return wrapError(err, "complete upload of", key)
}

// abortUpload frees the parts of an upload that was never asked to complete. It needs a context of its
// own, because the caller's may have ended.
func (s *Store) abortUpload(ctx context.Context, key string, id *string) {
	ctx, cancel := s.withDeadline(context.WithoutCancel(ctx), "abort", 0)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx,
		&s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.key(key), UploadId: id}, withoutRetry)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx,
			"cannot delete the parts of a failed upload; let a lifecycle rule of the bucket remove them",
			"key", key, "error", err)
	}
}
