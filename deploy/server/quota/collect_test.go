package quota

import (
	"testing"
	"time"
)

// TestCollect: each key has its own rate, each request costs an event of it, one second's worth passes at once, a
// request that finds one event passes whole, and another rate begins anew.
func TestCollect(t *testing.T) {
	t.Parallel()
	q, clock := quotas(t, Config{})
	for i, step := range []struct {
		after time.Duration
		key   string
		rate  float64
		more  int // events beyond the first; 0 begins a request
		wait  time.Duration
	}{
		{0, "a", 10, 0, 0},
		{0, "a", 10, 29, 0},
		{0, "a", 10, 0, 2 * time.Second},
		{0, "a", 10, 1, 2 * time.Second}, // Another request had begun before.
		{0, "b", 10, 0, 0},
		{2 * time.Second, "a", 10, 0, time.Nanosecond},
		{time.Millisecond, "a", 10, 0, 0},
		{0, "a", 20, 0, 0}, // An operator has edited the file.
		{0, "slow", 0.5, 0, 0},
		{0, "slow", 0.5, 1, 0}, // Its own first event is the last one.
		{0, "slow", 0.5, 0, 2 * time.Second},
		{0, "slow", 0.5, 1, 2 * time.Second},
	} {
		clock.now = clock.now.Add(step.after)
		got := time.Duration(0)
		if step.more > 0 {
			got = q.CollectMore(step.key, step.rate, step.more)
		} else {
			got = q.Collect(step.key, step.rate)
		}
		if (got - step.wait).Abs() > time.Microsecond {
			t.Errorf("step %d: wait %s, want %s", i, got, step.wait)
		}
	}
}
