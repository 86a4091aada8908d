package sim

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage gather: seeds are short, and their memory is small.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
