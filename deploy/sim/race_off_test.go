//go:build !race

package sim

import "testing"

func skipRace(*testing.T) {}
