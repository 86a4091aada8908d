package quota

import (
	"testing"
	"time"
)

// hours returns the buckets of so many hours from the first on.
func hours(first, n int) map[int64]struct{} {
	out := map[int64]struct{}{}
	for i := range n {
		out[int64(first+i)*time.Hour.Microseconds()] = struct{}{}
	}
	return out
}

// TestBuckets lets tenants touch buckets of event time. Only buckets that were not touched in this minute count.
func TestBuckets(t *testing.T) {
	t.Parallel()
	q, clock := quotas(t, Config{Default: Rates{Buckets: 100}, Tenants: map[string]Rates{"import": {}}})
	for i, step := range []struct {
		after    time.Duration
		tenant   string
		first, n int
		wait     time.Duration
		limit    int
	}{
		{0, "a", 0, 101, 0, 100}, // It can never pass, so it counts nothing.
		{0, "a", 0, 60, 0, 0},
		{10 * time.Second, "a", 20, 60, 0, 0},                 // 40 are touched again.
		{10 * time.Second, "a", 100, 21, 40 * time.Second, 0}, // 20 are left.
		{0, "a", 100, 20, 0, 0},
		{0, "b", 0, 100, 0, 0}, // Tenants do not share.
		{39 * time.Second, "a", 200, 1, time.Second, 0},
		{time.Second, "a", 200, 100, 0, 0},
		{-time.Hour, "a", 0, 100, 0, 0}, // A clock that jumps back delays nobody for an hour.
		{0, "import", 0, 100_000, 0, 0},
	} {
		clock.now = clock.now.Add(step.after)
		if wait, limit := q.Buckets(step.tenant, hours(step.first, step.n)); wait != step.wait || limit != step.limit {
			t.Errorf("step %d: wait %s, limit %d, want %s, %d", i, wait, limit, step.wait, step.limit)
		}
	}
}
