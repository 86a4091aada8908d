package natsserver

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes dir ours. JetStream takes no lock of its own, and two servers over
// one directory would overwrite each other's acknowledged messages. The kernel drops
// the lock with the process, so kill -9 leaves nothing to clean up.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another process: stop it or choose another data_dir: %w", dir, err)
	}
	return f, nil
}
