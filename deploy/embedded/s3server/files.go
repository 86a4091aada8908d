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
	"time"

	"github.com/rclone/gofakes3"

	"recount/schemas/durable"
)

const copyBuffer = 256 << 10 // bytes

// lockDir makes the directory and locks it. A second process would sweep the unfinished writes of
// the first and know nothing of its key locks. A read-only server shares its lock with others, and
// fails if the directory does not exist.
func lockDir(cfg Config) (lock *durable.Held, err error) {
	path := filepath.Join(cfg.Dir, "lock")
	if cfg.ReadOnly {
		lock, err = durable.LockShared(path)
	} else {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory: %w", err)
		}
		lock, err = durable.Lock(path, 0o600)
	}
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: stop it or choose another data_dir", err)
	}
	return lock, err
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
// parents are fsynced once and not on every write (E2). A folder that another program
// removed is made anew by the next write below it.
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
	if dir == root {
		return nil
	}
	if _, ok := f.durable[dir]; ok && exists(dir) {
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

// spooled is a body on its way into the store, in a temporary file.
type spooled struct {
	path     string
	size     int64
	md5      []byte
	modified time.Time
}

func (s spooled) etag() string { return `"` + hex.EncodeToString(s.md5) + `"` }

// spool copies exactly size bytes (any number if negative) into a temporary file. It makes
// tmp again if another program removed it. finish, if any, is called before the file is closed.
func spool(tmp string, input io.Reader, size int64, finish func(*os.File) error) (s spooled, err error) {
	if err := os.Mkdir(tmp, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, fmt.Errorf("make folder of temporary files: %w", err)
	}
	f, err := os.CreateTemp(tmp, "body-")
	if err != nil {
		return s, fmt.Errorf("make temporary file: %w", err)
	}
	s.path = f.Name()
	defer func() {
		// errors.Join would hide the code: gofakes3 reads it from the error's type alone.
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
		if err := finish(f); err != nil {
			return s, err
		}
	}
	st, err := f.Stat()
	if err == nil {
		s.modified = st.ModTime()
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
