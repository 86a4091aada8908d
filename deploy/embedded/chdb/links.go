package chdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// atomicDatabase matches the stored definition of a database whose files are below store/, by its UUID.
var atomicDatabase = regexp.MustCompile(`UUID '(([0-9a-f]{3})[0-9a-f-]{33})'\s+ENGINE = Atomic`)

// dropFollowedLinks removes the folders that a tool has copied in the place of symbolic links, because it follows them.
// The engine refuses to start when it finds a folder there, and makes the links itself when it finds nothing. The
// folders hold copies: the engine reads and writes an Atomic database below store/ alone, and its links in metadata/
// and data/ are for people. Without the folder below store/ nothing is removed.
func dropFollowedLinks(dataDir string) (dropped int, err error) {
	definitions, err := filepath.Glob(filepath.Join(dataDir, "metadata", "*.sql"))
	if err != nil {
		return 0, err
	}
	for _, path := range definitions {
		definition, err := os.ReadFile(path)
		if err != nil {
			return dropped, fmt.Errorf("definition of a database: %w", err)
		}
		m := atomicDatabase.FindSubmatch(definition)
		if m == nil || !isFolder(filepath.Join(dataDir, "store", string(m[2]), string(m[1]))) {
			continue
		}
		database := strings.TrimSuffix(filepath.Base(path), ".sql")
		links := []string{filepath.Join(dataDir, "metadata", database)}
		tables, err := os.ReadDir(filepath.Join(dataDir, "data", database))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dropped, fmt.Errorf("links to tables: %w", err)
		}
		for _, t := range tables {
			links = append(links, filepath.Join(dataDir, "data", database, t.Name()))
		}
		for _, link := range links {
			if !isFolder(link) {
				continue
			}
			if err := os.RemoveAll(link); err != nil {
				return dropped, fmt.Errorf("a folder in the place of a link: %w", err)
			}
			dropped++
		}
	}
	return dropped, nil
}

// isFolder reports whether path is a folder and no link to one.
func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
