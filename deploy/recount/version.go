package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"recount/deploy/embedded/chdb"
	"recount/deploy/server"
)

type versionCmd struct{}

// Run prints the version, and what it was built from.
func (versionCmd) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, versionLine())
	return err
}

// versionFlag is the flag that does what the command version does.
type versionFlag bool

// BeforeReset prints the version and ends the program before anything else is checked.
func (versionFlag) BeforeReset(parser *kong.Kong, std streams) error {
	if err := (versionCmd{}).Run(std); err != nil {
		return err
	}
	parser.Exit(exitOK)
	return nil
}

// versionLine is the same for every build of one commit.
func versionLine() string {
	return fmt.Sprintf("recount %s (commit %s, engine chdb %s, %s, %s/%s)", server.Version(), commit(), chdb.Version,
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commit is the commit that the program was built from. A build of changed files has the suffix "+dirty", as in the
// version.
func commit() string {
	revision := "unknown"
	dirty := ""
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return revision
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return revision + dirty
}
