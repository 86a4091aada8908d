package chdb

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Version is the version of the library that recount is built and tested with.
const Version = "26.5.3"

const libraryName = "libchdb.so"

// installDir is where `make setup` puts the library, relative to the root of a checkout.
const installDir = "deploy/embedded/npm/node_modules"

// ErrNoLibrary reports that the ClickHouse library is not installed. Its message says how to get it.
type ErrNoLibrary struct{ Looked string }

func (e *ErrNoLibrary) Error() string {
	fix := "install the package recount-engine, or unpack the archive that holds " + libraryName + "; in a checkout " +
		"run `make setup`; or `npm install " + platformPackage() + "` anywhere and set clickhouse.library " +
		"(RECOUNT_CLICKHOUSE_LIBRARY) to its " + libraryName
	if platformPackage() == "" {
		fix = "it is not published for " + runtime.GOOS + "/" + runtime.GOARCH
	}
	return fmt.Sprintf("embedded ClickHouse: library libchdb not found (looked for %s): %s; or point clickhouse.url "+
		"at a ClickHouse server", e.Looked, fix)
}

// Find returns the absolute path of libchdb. A path given explicitly must exist. With "" the library is looked for
// where an installation has it: beside the executable, then in ../lib/recount from there. It is looked for next in a
// checkout that holds the executable or the working directory, at any depth, so that bin/recount, `go run` and
// `go test` find it alike. The error is an *ErrNoLibrary.
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
	program := programDir()
	beside := []string{
		filepath.Join(program, libraryName), filepath.Join(program, "..", "lib", "recount", libraryName),
	}
	for _, path := range beside {
		if program != "" && isFile(path) {
			return path, nil
		}
	}
	inCheckout := filepath.Join(filepath.FromSlash(installDir), platformPackage(), libraryName)
	workingDir, _ := os.Getwd() // An unknown one is not searched.
	for _, start := range []string{program, workingDir} {
		if path := findUpwards(start, inCheckout); path != "" {
			return path, nil
		}
	}
	return "", &ErrNoLibrary{Looked: strings.Join(append(beside, inCheckout), ", ")}
}

// programDir is the folder of the executable, "" if it is unknown. Symbolic links are followed, so that a link in a
// folder of PATH finds the library too.
func programDir() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(exe); err == nil {
		exe = target
	}
	return filepath.Dir(exe)
}

// findUpwards looks for a file in a folder and in every folder above it. It returns "" without one.
func findUpwards(start, name string) string {
	if start == "" {
		return ""
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
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
