package recordtest

import "testing"

func TestMemory(t *testing.T) {
	t.Parallel()
	Conform(t, &Memory{})
}
