package quota

import "time"

// Collect spends one event of the rate of a key of scope collect for a request, or returns how long its senders have to
// wait. Keys that were revoked keep their few bytes here until the process ends.
func (q *Quotas) Collect(keyID string, rate float64) (wait time.Duration) {
	return q.spendCollect(keyID, rate, 0, 1)
}

// CollectMore spends the further events of a request for which Collect has spent one, or returns how long to wait. The
// event that was spent does not count against its own request: one that finds the last event passes whole.
func (q *Quotas) CollectMore(keyID string, rate float64, events int) (wait time.Duration) {
	return q.spendCollect(keyID, rate, 1, events)
}

// spendCollect spends events, unless the bucket of the key were empty without those that the request has spent.
func (q *Quotas) spendCollect(keyID string, rate float64, spent, events int) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.collect[keyID]
	now := q.cfg.Now()
	if b == nil || b.rate != rate {
		b = &bucket{rate: rate, level: max(rate, 1), at: now}
		q.collect[keyID] = b
	}
	wait = b.wait(now) // It refills the bucket, too.
	if b.level+float64(spent) <= 0 {
		q.collectRefused.Inc()
		return wait
	}
	b.level -= float64(events)
	return 0
}
