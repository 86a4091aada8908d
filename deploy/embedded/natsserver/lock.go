package natsserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"recount/schemas/durable"
)

// lockDir locks dir for this process. JetStream has no lock of its own, and two servers over
// one directory would overwrite each other's acknowledged messages. The kernel drops
// the lock with the process, so kill -9 leaves nothing to clean up.
func lockDir(dir string) (*durable.Held, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := durable.Lock(filepath.Join(dir, "LOCK"), 0o640)
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: stop it or choose another data_dir", err)
	}
	return f, err
}
