package chdb

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// installDir is where `make setup` puts the library, relative to the root of a checkout.
const installDir = "deploy/embedded/npm/node_modules"

// ErrNoLibrary reports that the ClickHouse library is not installed. Its message says how to get it.
type ErrNoLibrary struct{ Looked string }

func (e *ErrNoLibrary) Error() string {
	fix := "run `make setup` in the checkout, or `npm install " + platformPackage() +
		"` anywhere, and set clickhouse.library (RECOUNT_CLICKHOUSE_LIBRARY) to its libchdb.so"
	if platformPackage() == "" {
		fix = "it is not published for " + runtime.GOOS + "/" + runtime.GOARCH +
			"; point clickhouse.url at a ClickHouse server"
	}
	return fmt.Sprintf("embedded ClickHouse: library libchdb not found (looked for %s): %s", e.Looked, fix)
}

// Find returns the absolute path of libchdb. A path given explicitly must exist; with "" the library is looked
// for in a checkout that holds the executable or the working directory, at any depth, so that bin/recount,
// `go run` and `go test` find it alike. The error is an *ErrNoLibrary.
func Find(explicit string) (string, error) {
	if explicit != "" {
		abs, err := filepath.Abs(explicit)
		if err == nil && isFile(abs) {
			return abs, nil
		}
		return "", &ErrNoLibrary{Looked: explicit}
	}
	if platformPackage() == "" {
		return "", &ErrNoLibrary{Looked: "none"}
	}
	rel := filepath.Join(filepath.FromSlash(installDir), platformPackage(), "libchdb.so")
	for _, start := range startDirs() {
		for dir := start; ; dir = filepath.Dir(dir) {
			if p := filepath.Join(dir, rel); isFile(p) {
				return p, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", &ErrNoLibrary{Looked: rel}
}

func startDirs() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			exe = target
		}
		dirs = append(dirs, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		dirs = append(dirs, wd)
	}
	return dirs
}

// platformPackage is the npm package that carries the library for this platform, "" if there is none.
func platformPackage() string {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return "@chdb/lib-linux-x64-gnu"
	case "linux/arm64":
		return "@chdb/lib-linux-arm64-gnu"
	case "darwin/amd64":
		return "@chdb/lib-darwin-x64"
	case "darwin/arm64":
		return "@chdb/lib-darwin-arm64"
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
