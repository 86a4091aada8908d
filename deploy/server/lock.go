package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errInUse is wrapped by the error about a folder that another process has.
var errInUse = errors.New("is in use")

// lockDataDir makes the folder and takes it for this process. The kernel drops the
// lock when the process ends, however it ends.
func lockDataDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(f.Name()) // An empty owner is said too.
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data_dir: %s %w by process %s; stop it or choose another folder with --data-dir",
				dir, errInUse, owner)
		}
		return nil, fmt.Errorf("data_dir: lock %s: %w", dir, err)
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(fmt.Errorf("data_dir: %w", err), f.Close())
	}
	return f, nil
}

// lockForReading takes a folder that no server has for this process and others that only
// read it. Nothing is written, so a server that starts meanwhile names the owner before.
func lockForReading(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("data_dir: %s holds no data: name the folder of a server with --data-dir or the "+
			"configuration", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(f.Name()) // An empty owner is said too.
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data_dir: %s %w by process %s; stop it, or ask the running server with --server URL", dir, errInUse, owner)
		}
		return nil, fmt.Errorf("data_dir: lock %s: %w", dir, err)
	}
	return f, nil
}

// writePID tells a second process whom it met.
func writePID(f *os.File) error {
	_, err := fmt.Fprint(f, os.Getpid())
	return err
}
