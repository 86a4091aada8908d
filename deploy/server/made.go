package server

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// missingFolders returns the folders of the engines in data_dir that a start will make, and then data_dir and the
// folders above it if they are missing, the deepest first.
func missingFolders(dataDir string) []string {
	var missing []string
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

// keepMissing drops the folders of engines that exist now, when this process holds the lock: another process has made
// them since.
func keepMissing(missing []string, dataDir string) []string {
	return slices.DeleteFunc(missing, func(path string) bool {
		return filepath.Dir(path) == filepath.Clean(dataDir) && exists(path)
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
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
