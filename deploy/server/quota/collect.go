package quota

import "time"

// Collect spends events of the rate of a key of scope collect, or returns how long its senders have to wait. With no
// events it only asks. Keys that were revoked keep their few bytes here until the process ends.
func (q *Quotas) Collect(keyID string, rate float64, events int) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.collect[keyID]
	now := q.cfg.Now()
	if b == nil || b.rate != rate {
		b = &bucket{rate: rate, level: max(rate, 1), at: now}
		q.collect[keyID] = b
	}
	if wait := b.wait(now); wait > 0 {
		q.collectRefused.Inc()
		return wait
	}
	b.level -= float64(events)
	return 0
}
