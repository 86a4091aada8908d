package chdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dropEmptyMutations removes empty entries of mutations. A full disk leaves such files, and
// the engine then refuses to load the table at every start. Removing them is safe: an entry is
// written before any part is changed, and the caller of the mutation got an error.
func dropEmptyMutations(dataDir string) (dropped int, err error) {
	entries, err := filepath.Glob(filepath.Join(dataDir, "store", "*", "*", "mutation_*.txt"))
	if err != nil {
		return 0, err
	}
	for _, path := range entries {
		info, err := os.Stat(path)
		if err == nil && info.Size() == 0 {
			err = os.Remove(path)
			dropped++
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return dropped, fmt.Errorf("empty entry of a mutation: %w", err)
		}
	}
	return dropped, nil
}
