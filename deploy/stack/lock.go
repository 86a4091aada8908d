package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

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
			return nil, fmt.Errorf("data_dir: %s is in use by process %s; stop it or choose another folder with --data-dir", dir, owner)
		}
		return nil, fmt.Errorf("data_dir: lock %s: %w", dir, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprint(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data_dir: %w", err), f.Close())
	}
	return f, nil
}
