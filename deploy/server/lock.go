package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"recount/schemas/durable"
)

const lockName = "lock"

// lockPatience is how long a start waits for the lock of another process. A process that was killed keeps its lock
// until the system has freed its memory, which took up to half a second for a gigabyte.
const lockPatience = 2 * time.Second

// lockDataDir creates the folder and locks it for this process.
func lockDataDir(dir string) (*durable.Held, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	f, err := lockWithin(lockPatience, filepath.Join(dir, lockName))
	if err != nil {
		return nil, lockError(dir, err, "stop it or choose another folder with --data-dir")
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(fmt.Errorf("data_dir: %w", err), f.Close())
	}
	return f, nil
}

// lockWithin waits for the lock for a limited time, because its owner may be about to end.
func lockWithin(patience time.Duration, path string) (f *durable.Held, err error) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		f, err = durable.Lock(path, 0o640)
		if !errors.Is(err, durable.ErrLocked) || time.Since(began) > patience {
			return f, err
		}
	}
}

// lockForReading locks a folder that no server uses. Other readers may lock it too. Nothing is
// written, so the file still names the last server.
func lockForReading(dir string) (*durable.Held, error) {
	f, err := durable.LockShared(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data_dir: %s holds no data: name the folder of a server with --data-dir or the "+
			"configuration: %w", dir, fs.ErrNotExist)
	}
	if err != nil {
		return nil, lockError(dir, err, "stop it, or ask the running server with --server URL")
	}
	return f, nil
}

// lockError names the process that uses the folder, and the remedy.
func lockError(dir string, err error, remedy string) error {
	if !errors.Is(err, durable.ErrLocked) {
		return fmt.Errorf("data_dir: %w", err)
	}
	owner, _ := os.ReadFile(filepath.Join(dir, lockName)) // The message helps without an owner too.
	return fmt.Errorf("data_dir: %s %w by process %s; %s", dir, durable.ErrLocked, owner, remedy)
}

// writePID writes the process's id into the lock file, for the error message of a second process.
func writePID(f *durable.Held) error {
	_, err := fmt.Fprint(f, os.Getpid())
	return err
}
