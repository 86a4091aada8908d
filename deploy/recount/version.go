package main

import (
	"fmt"
	"runtime"

	"recount/deploy/server"
)

type versionCmd struct{}

// Run prints the version, and the compiler and platform it was built with.
func (versionCmd) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "recount %s (%s, %s/%s)\n", server.Version(), runtime.Version(), runtime.GOOS,
		runtime.GOARCH)
	return err
}
