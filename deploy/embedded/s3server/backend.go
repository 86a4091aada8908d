package s3server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rclone/gofakes3"

	"recount/schemas/failpoint"
)

const keyLocks = 1024

// backend keeps buckets and objects in a directory. The package comment describes its layout.
type backend struct {
	tmp      string
	objects  string // the folder of the buckets
	metadata string
	isFirst  bool // the directory has format 1, which is only read
	readOnly bool
	now      func() time.Time
	forget   func(bucket, key string, id gofakes3.UploadID) // drops gofakes3's memory of an upload

	mu       sync.RWMutex // a bucket is made or removed; writers of objects hold it shared
	locks    [keyLocks]sync.RWMutex
	folders  folders
	listings listings
	failed   atomic.Pointer[error] // E4

	uploadMu sync.Mutex
	uploads  map[gofakes3.UploadID]*upload
}

var (
	_ gofakes3.Backend          = (*backend)(nil)
	_ gofakes3.MultipartBackend = (*backend)(nil)
)

// newBackend returns the store in a directory of format 2 without changing anything there.
func newBackend(dir string, now func() time.Time) *backend {
	return &backend{
		tmp: filepath.Join(dir, "tmp"), objects: filepath.Join(dir, objectsFolder),
		metadata: filepath.Join(dir, metadataFolder), now: now,
		forget:   func(string, string, gofakes3.UploadID) {},
		folders:  folders{durable: map[string]struct{}{}},
		listings: listings{byDir: map[string][]entry{}, parse: parseName},
		uploads:  map[gofakes3.UploadID]*upload{},
	}
}

// newReader returns the store in a directory of any format. It writes nothing.
func newReader(dir string, now func() time.Time) (*backend, error) {
	format, err := readFormat(dir)
	if err != nil {
		return nil, err
	}
	b := newBackend(dir, now)
	b.readOnly = true
	switch {
	case exists(filepath.Join(dir, planFile)) && format == 1:
		return nil, fmt.Errorf("%s tells that a start was ended while it carried the objects over to another format: "+
			"start the server once more, which completes it", filepath.Join(dir, planFile))
	case format == 1:
		b.isFirst = true
		b.objects = filepath.Join(dir, firstFolder)
		b.listings.parse = parseFirstName
	}
	return b, nil
}

// openReader is newReader for a server.
func openReader(cfg Config) (*backend, error) {
	b, err := newReader(cfg.Dir, cfg.Now)
	if err != nil || !b.isFirst {
		return b, err
	}
	return b, checkObjects(cfg, 1)
}

// openBackend opens the store in a directory of format 2 and sweeps what a killed process left. The
// caller holds the directory's lock.
func openBackend(dir string, now func() time.Time) (*backend, error) {
	b := newBackend(dir, now)
	for _, d := range []string{b.tmp, b.objects, b.metadata} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	// A killed process may have renamed a file without reaching its fsync. The file is visible
	// from now on, so it is made durable first (E3).
	syscall.Sync()
	return b, sweep(b.tmp)
}

// lock returns the lock of an object's file. The number of locks is bounded, so several keys
// share one.
func (b *backend) lock(path string) *sync.RWMutex {
	h := fnv.New32a()
	io.WriteString(h, path)
	return &b.locks[h.Sum32()%keyLocks]
}

// sync makes a change of an open folder durable. If that fails, the change is already visible
// but may not survive a power failure, so the server serves nothing any more (E4).
func (b *backend) sync(folder *os.File) error {
	if err := folder.Sync(); err != nil {
		err = fmt.Errorf("fsync %s: %w: check the disk, then restart", folder.Name(), err)
		b.failed.CompareAndSwap(nil, &err)
		return err
	}
	return nil
}

// change makes a change in a folder and then makes it durable. It opens the folder first: if
// no file descriptor is left, the change is not made, instead of made and not durable.
func (b *backend) change(dir string, change func() error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := change(); err != nil {
		return err
	}
	b.listings.changed(dir)
	return b.sync(d)
}

func (b *backend) broken() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *backend) bucketDir(name string) (string, bool) {
	if gofakes3.ValidateBucketName(name) != nil {
		return "", false
	}
	dir := filepath.Join(b.objects, name)
	st, err := os.Stat(dir)
	return dir, err == nil && st.IsDir()
}

func (b *backend) path(bucket, key string) (dir, path string, err error) {
	dir, ok := b.bucketDir(bucket)
	if !ok {
		return "", "", gofakes3.BucketNotFound(bucket)
	}
	if b.isFirst {
		path, err = firstPath(dir, key)
	} else {
		path, err = objectPath(dir, key)
	}
	return dir, path, err
}

// spoolObject writes a whole, fsynced object file in tmp/ (E1).
func (b *backend) spoolObject(input io.Reader, size int64) (s spooled, err error) {
	failpoint.Point("s3.temp.before")
	defer failpoint.Point("s3.temp.after")
	return spool(b.tmp, input, size, func(f *os.File) error {
		at := b.now()
		if err := os.Chtimes(f.Name(), at, at); err != nil {
			return err
		}
		return f.Sync()
	})
}

// commit puts a finished object file in its place if the request's conditions hold
// at that moment. It renames instead of linking, also for a creation: the key's lock and the
// lock of the directory already keep every other writer from creating the name (E3).
func (b *backend) commit(ctx context.Context, bucket, key string, s spooled, headers map[string]string) error {
	defer os.Remove(s.path) // nothing is left to remove after the rename
	b.mu.RLock()
	defer b.mu.RUnlock()
	dir, path, err := b.path(bucket, key)
	if err != nil {
		return err
	}
	l := b.lock(path)
	l.Lock()
	defer l.Unlock()
	if err := b.checkConditions(ctx, path); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err := b.folders.ensure(dir, folder, b.sync); err != nil {
		return fmt.Errorf("make folder of %q: %w", key, err)
	}
	v := newVersion(s, headers)
	if !v.isPlain() {
		if err := b.announce(path, v); err != nil {
			return fmt.Errorf("write metadata of %q: %w", key, err)
		}
	}
	place := func() error {
		failpoint.Point("s3.rename.before")
		defer failpoint.Point("s3.rename.after")
		return os.Rename(s.path, path)
	}
	if err := b.change(folder, place); err != nil {
		return fmt.Errorf("place %q: %w", key, err)
	}
	failpoint.Point("s3.folder.after")
	if v.isPlain() {
		return b.removeMetadata(path)
	}
	return nil
}

// The key's lock must be held.
func (b *backend) checkConditions(ctx context.Context, path string) error {
	if !gofakes3.HasWriteConditions(ctx) {
		return nil
	}
	s, err := b.openPlain(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return gofakes3.CheckWriteConditions(ctx, false, "")
	}
	if err != nil {
		return err
	}
	defer s.File.Close()
	if s.MD5 == nil {
		if err := s.sum(); err != nil {
			return err
		}
	}
	return gofakes3.CheckWriteConditions(ctx, true, hex.EncodeToString(s.MD5))
}

// remove deletes a key. Empty folders stay: removing them would race with writers and gain
// nothing.
func (b *backend) remove(bucket, key string) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, path, err := b.path(bucket, key)
	if err != nil {
		return err
	}
	l := b.lock(path)
	l.Lock()
	defer l.Unlock()
	err = b.change(filepath.Dir(path), func() error { return os.Remove(path) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %q: %w", key, err)
	}
	if err := b.removeMetadata(path); err != nil {
		return fmt.Errorf("remove metadata of %q: %w", key, err)
	}
	return nil
}
