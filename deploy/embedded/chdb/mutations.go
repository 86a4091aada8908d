package chdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dropEmptyMutations removes entries of mutations that say nothing. A full disk leaves such
// files behind, and the engine then refuses to load the table, at every start. Nothing
// was done for them: an entry is written before any part is changed, and who asked for the
// mutation was told that it failed.
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
