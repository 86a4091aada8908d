package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked is wrapped by the error about a lock that another process has.
var ErrLocked = errors.New("is in use")

// Held is a file that this process has locked. The lock ends with Close, or with the process.
type Held struct{ *os.File }

// Close unlocks the file and closes it. To close it alone would leave it locked while a child process that is just
// starting still has a copy of the descriptor.
func (h *Held) Close() error {
	return errors.Join(syscall.Flock(int(h.Fd()), syscall.LOCK_UN), h.File.Close())
}

// Lock locks the file at path for this process alone, which then owns the folder of the file. It
// creates the file if there is none. kill -9 leaves nothing to clean up. The owner may remove the file.
func Lock(path string, mode fs.FileMode) (*Held, error) {
	for {
		f, err := lock(path, os.O_CREATE|os.O_RDWR, mode, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			return nil, err
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		_ = f.Close() // Its last owner has removed it, and another process may lock the next file.
	}
}

// LockShared locks an existing file together with other readers of its folder. It writes nothing.
func LockShared(path string) (*Held, error) {
	return lock(path, os.O_RDONLY, 0, syscall.LOCK_SH|syscall.LOCK_NB)
}

// WaitLock waits until it can lock an existing file or folder for this process alone.
func WaitLock(path string) (*Held, error) {
	return lock(path, os.O_RDONLY, 0, syscall.LOCK_EX)
}

func lock(path string, flags int, mode fs.FileMode, how int) (*Held, error) {
	f, err := os.OpenFile(path, flags, mode)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%s %w by another process", filepath.Dir(path), ErrLocked), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return &Held{f}, nil
}
