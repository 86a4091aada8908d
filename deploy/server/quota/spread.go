package quota

import "time"

// DefaultBuckets is how many buckets of event time a tenant may touch in a minute, and in one request, unless
// an operator says otherwise. A year of hours fits. A minute's events are one recomputation by default.
const DefaultBuckets = 10_000

// spread is what a tenant has touched in the minute that began at since. Every bucket that a tenant touches
// is computed anew for all tenants, so a few events in very many buckets cost more than many events in few.
type spread struct {
	limit   int // 0 is no limit
	since   time.Time
	touched map[int64]struct{}
}

// Buckets counts the buckets of event time that a request touches. A bucket that the tenant has touched in this
// minute already is free. If there is no room for the others, nothing is counted, and wait is the time
// until the next minute. A request that could never pass gets the limit instead.
func (q *Quotas) Buckets(name string, buckets map[int64]struct{}) (wait time.Duration, limit int) {
	t := q.tenant(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	wait, limit = t.spread.touch(q.cfg.Now(), buckets)
	if wait > 0 || limit > 0 {
		t.spreadRefused.Inc()
	}
	return wait, limit
}

func (s *spread) touch(now time.Time, buckets map[int64]struct{}) (wait time.Duration, limit int) {
	if s.limit == 0 {
		return 0, 0
	}
	if len(buckets) > s.limit {
		return 0, s.limit
	}
	if passed := now.Sub(s.since); passed >= time.Minute || passed < 0 { // A clock may jump back.
		s.since = now
		s.touched = map[int64]struct{}{}
	}
	fresh := 0
	for b := range buckets {
		if _, touched := s.touched[b]; !touched {
			fresh++
		}
	}
	if len(s.touched)+fresh > s.limit {
		return s.since.Add(time.Minute).Sub(now), 0
	}
	for b := range buckets {
		s.touched[b] = struct{}{}
	}
	return 0, 0
}
