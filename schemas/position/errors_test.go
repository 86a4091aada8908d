package position

import (
	"errors"
	"fmt"
	"testing"
)

func TestGapErrorIsErrGap(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("read: %w", GapError{Partition: 2, Want: 7, Got: 9})
	if !errors.Is(err, ErrGap) || errors.Is(err, ErrTrimmed) {
		t.Errorf("%v: a gap is ErrGap and not ErrTrimmed", err)
	}
	const want = "read: the log of partition 2 has a gap: it lacks messages [7, 9)"
	if got := err.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
