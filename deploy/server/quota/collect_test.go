package quota

import (
	"testing"
	"time"
)

// TestCollect: each key has its own rate, one second's worth passes at once, and another rate begins anew.
func TestCollect(t *testing.T) {
	t.Parallel()
	q, clock := quotas(t, Config{})
	for i, step := range []struct {
		after  time.Duration
		key    string
		rate   float64
		events int
		wait   time.Duration
	}{
		{0, "a", 10, 0, 0},
		{0, "a", 10, 30, 0},
		{0, "a", 10, 1, 2 * time.Second},
		{0, "b", 10, 1, 0},
		{2 * time.Second, "a", 10, 0, time.Nanosecond},
		{time.Millisecond, "a", 10, 1, 0},
		{0, "a", 20, 1, 0}, // An operator has edited the file.
	} {
		clock.now = clock.now.Add(step.after)
		if got := q.Collect(step.key, step.rate, step.events); (got - step.wait).Abs() > time.Microsecond {
			t.Errorf("step %d: wait %s, want %s", i, got, step.wait)
		}
	}
}
