package server

import (
	"errors"
	"testing"
	"time"

	"recount/schemas/durable"
)

// TestLockWaits locks a folder whose last owner still ends, and refuses one whose owner stays.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(dir); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("beside an owner: got %v", err)
	}
	time.AfterFunc(lockPatience/10, func() {
		if err := owner.Close(); err != nil {
			t.Error(err)
		}
	})
	next, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}
