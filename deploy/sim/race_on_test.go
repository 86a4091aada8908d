//go:build race

package sim

import "testing"

// skipRace skips under the race detector: what wakes in one moment of the virtual clock
// reads the fakes without locks, and the detector reports the harness instead of the
// product, whose packages have race tests of their own.
func skipRace(t *testing.T) {
	t.Skip("the fakes of the simulation are not locked, so the race detector would report them and not the product")
}
