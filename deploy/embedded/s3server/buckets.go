package s3server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rclone/gofakes3"
)

// ListBuckets implements gofakes3.Backend.
func (b *backend) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	entries, err := os.ReadDir(b.objects)
	if err != nil {
		return nil, fmt.Errorf("list buckets: %w", err)
	}
	var out []gofakes3.BucketInfo
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list buckets: %w", err)
		}
		out = append(out, gofakes3.BucketInfo{Name: e.Name(),
			CreationDate: gofakes3.NewContentTime(st.ModTime().UTC())})
	}
	return out, nil
}

// BucketExists implements gofakes3.Backend.
func (b *backend) BucketExists(_ context.Context, name string) (bool, error) {
	_, ok := b.bucketDir(name)
	return ok, nil
}

// CreateBucket implements gofakes3.Backend.
func (b *backend) CreateBucket(_ context.Context, name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.change(b.objects, func() error { return os.Mkdir(filepath.Join(b.objects, name), 0o700) })
	if errors.Is(err, fs.ErrExist) {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// DeleteBucket implements gofakes3.Backend. A bucket without objects may still have
// folders; they go with it.
func (b *backend) DeleteBucket(ctx context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, err := b.ListBucket(ctx, name, nil, gofakes3.ListBucketPage{MaxKeys: 1})
	if err != nil {
		return err
	}
	if len(list.Contents) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	doomed, err := os.MkdirTemp(b.tmp, "bucket-")
	if err != nil {
		return fmt.Errorf("remove bucket %s: %w", name, err)
	}
	err = b.change(b.objects, func() error {
		return os.Rename(filepath.Join(b.objects, name), filepath.Join(doomed, name))
	})
	if err != nil {
		return fmt.Errorf("remove bucket %s: %w", name, err)
	}
	b.listings.forgetAll()
	if err := os.RemoveAll(filepath.Join(b.metadata, name)); err != nil {
		return fmt.Errorf("remove metadata of bucket %s: %w", name, err)
	}
	return os.RemoveAll(doomed)
}
