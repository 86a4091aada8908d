package s3server

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/rclone/gofakes3"
)

const copyBuffer = 256 << 10 // bytes

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder to fsync: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("fsync folder: %w", err)
	}
	return nil
}

// takeDir makes the directory and locks it. A reader finds it there or fails, shares its
// lock with other readers, and leaves no trace.
func takeDir(cfg Config) (*os.File, error) {
	if cfg.ReadOnly {
		return lockDir(cfg.Dir, os.O_RDONLY, syscall.LOCK_SH)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	return lockDir(cfg.Dir, os.O_CREATE|os.O_RDWR, syscall.LOCK_EX)
}

// lockDir keeps a second process off the directory: it would sweep our unfinished
// writes and know nothing of our key locks.
func lockDir(dir string, flags, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process: stop it or choose another data_dir: %w",
			dir, err), f.Close())
	}
	return f, nil
}

// sweep empties a folder.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// folders makes folders durably and remembers which already are, so that the
// parents are fsynced once and not on every write (E2).
type folders struct {
	mu      sync.Mutex
	durable map[string]struct{}
}

// ensure makes dir and its missing parents below root, fsyncing each parent with
// sync. Root itself is durable.
func (f *folders) ensure(root, dir string, sync func(*os.File) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ensureLocked(root, dir, sync)
}

// f.mu must be held.
func (f *folders) ensureLocked(root, dir string, sync func(*os.File) error) error {
	if _, ok := f.durable[dir]; ok || dir == root {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := f.ensureLocked(root, parent, sync); err != nil {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := sync(d); err != nil {
		return err
	}
	f.durable[dir] = struct{}{}
	return nil
}

// forgetAll drops what is known, after a bucket's folders were removed.
func (f *folders) forgetAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.durable)
}

// spooled is a body on its way into the store, in a temporary file.
type spooled struct {
	path string
	size int64
	md5  []byte
}

func (s spooled) etag() string { return `"` + hex.EncodeToString(s.md5) + `"` }

// spool copies exactly size bytes (any number if negative) into a temporary file.
// finish, if any, may append to the file before it is closed.
func spool(tmp string, input io.Reader, size int64, finish func(*os.File, spooled) error) (s spooled, err error) {
	f, err := os.CreateTemp(tmp, "body-")
	if err != nil {
		return s, fmt.Errorf("make temporary file: %w", err)
	}
	s.path = f.Name()
	defer func() {
		// Not errors.Join: gofakes3 reads an error's code from its type alone.
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(s.path)
		}
	}()
	if s.size, s.md5, err = copyHashed(f, input); err != nil {
		return s, err
	}
	if size >= 0 && s.size != size {
		return s, gofakes3.ErrIncompleteBody
	}
	if finish != nil {
		err = finish(f, s)
	}
	return s, err
}

// copyHashed copies input and returns its MD5. gofakes3 hashes most bodies itself as
// they are read; asking its reader for the sum halves the time spent on hashing.
func copyHashed(f *os.File, input io.Reader) (int64, []byte, error) {
	buf := make([]byte, copyBuffer)
	if hashed, ok := input.(interface{ Sum([]byte) []byte }); ok {
		n, err := io.CopyBuffer(struct{ io.Writer }{f}, input, buf)
		return n, hashed.Sum(nil), err
	}
	h := md5.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, io.TeeReader(input, h), buf)
	return n, h.Sum(nil), err
}
