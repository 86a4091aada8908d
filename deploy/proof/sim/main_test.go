package sim

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain runs the garbage collector less often: seeds are short and need little memory.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
