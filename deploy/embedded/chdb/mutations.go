package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dropBrokenMutations removes entries of mutations that are empty or cut short. A full disk leaves such files, and
// the engine then refuses to load the table at every start. Removing them is safe: an entry is
// written before any part is changed, and the caller of the mutation got an error.
func dropBrokenMutations(dataDir string) (dropped int, err error) {
	entries, err := filepath.Glob(filepath.Join(dataDir, "store", "*", "*", "mutation_*.txt"))
	if err != nil {
		return 0, err
	}
	for _, path := range entries {
		entry, err := os.ReadFile(path)
		if err == nil && !isWhole(entry) {
			err = os.Remove(path)
			dropped++
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return dropped, fmt.Errorf("broken entry of a mutation: %w", err)
		}
	}
	return dropped, nil
}

// isWhole reports whether the engine has written an entry to its end. The last of its lines are the commands.
func isWhole(entry []byte) bool {
	_, commands, found := bytes.Cut(entry, []byte("\ncommands: "))
	return found && bytes.HasSuffix(commands, []byte("\n"))
}
