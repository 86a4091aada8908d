package server

import (
	"errors"
	"os"
	"path/filepath"
)

// missingFolders returns the folders of the engines in data_dir that a start will make, and then data_dir and the
// folders above it if they are missing, the deepest first.
func missingFolders(dataDir string) []string {
	var missing []string
	exists := func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	}
	for _, folder := range []string{"s3", "clickhouse", "log"} {
		if path := filepath.Join(dataDir, folder); !exists(path) {
			missing = append(missing, path)
		}
	}
	for at := filepath.Clean(dataDir); !exists(at) && at != filepath.Dir(at); at = filepath.Dir(at) {
		missing = append(missing, at)
	}
	return missing
}

// removeMade removes what this start has made, after it was refused. It holds the lock of data_dir. Before an
// installation begins, nothing refers to the new folders, and nothing was accepted into them.
func (s *Server) removeMade() error {
	var errs []error
	for _, path := range s.made {
		if filepath.Dir(path) == filepath.Clean(s.cfg.DataDir) {
			errs = append(errs, os.RemoveAll(path))
			continue
		}
		if path == filepath.Clean(s.cfg.DataDir) {
			errs = append(errs, os.Remove(filepath.Join(path, lockName)))
		}
		_ = os.Remove(path) // It stays if it is not empty: then it is not this start's alone.
	}
	return errors.Join(errs...)
}
