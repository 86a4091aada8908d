package server

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

// namesOf lists the parts of a data_dir, and everything in the object store and in the folder of the real-time views.
// The log and ClickHouse change their files when they are opened.
func namesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, folder := range []string{".", "s3", "speed"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				names = append(names, path)
			}
			if err == nil && folder == "." && d.IsDir() && path != filepath.Clean(dir) {
				return fs.SkipDir
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return names
}
