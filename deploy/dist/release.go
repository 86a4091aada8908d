package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// release is what the program itself says about its build.
type release struct {
	info    *buildinfo.BuildInfo
	version string // without the v
	arch    string // as GOARCH
	time    time.Time
}

// unversioned is the version of a program that was built outside a repository.
const unversioned = "v0.0.0-devel"

// readRelease reads the build information of a program. Its time is SOURCE_DATE_EPOCH, else that of the commit.
func readRelease(program string) (*release, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("%w; run make build", err)
	}
	r := &release{info: info, time: time.Unix(0, 0).UTC()}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOARCH":
			r.arch = s.Value
		case "GOOS":
			if s.Value != "linux" {
				return nil, fmt.Errorf("%s is a program for %s: only linux has packages", program, s.Value)
			}
		case "vcs.time":
			if r.time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return nil, fmt.Errorf("%s: time of the commit: %w", program, err)
			}
		}
	}
	if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("SOURCE_DATE_EPOCH: %w; give seconds since 1970", err)
		}
		r.time = time.Unix(seconds, 0).UTC()
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = unversioned
	}
	r.version = strings.TrimPrefix(version, "v")
	return r, nil
}

// name begins the names of the archives.
func (r *release) name() string { return "recount-" + r.version + "-linux-" + r.arch }

// packagePath is where `make setup` has the engine's package.
func packagePath(library string) string { return filepath.Join(filepath.Dir(library), "package.json") }
