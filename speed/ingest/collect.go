package ingest

import (
	"time"

	"recount/schemas/access"
)

// A key of scope collect is in web pages, so everybody can send with it. What it sends is bounded further than the
// requests of other keys: its event types, its rate (access.Collect), and these.
const (
	// collectBytes bounds a body, before and after decompression. It is what browsers send as a beacon.
	collectBytes = 64 << 10
	// collectPast is how old an event may be. So nobody who reads a page changes the numbers of last month, or has
	// years of buckets computed anew.
	collectPast = 24 * time.Hour
)

// setPrincipal notes who sends the request.
func (q *request) setPrincipal(p access.Principal) {
	q.principal = p
	q.bodyBytes = q.cfg.BodyBytes
	q.decodedBytes = q.cfg.DecodedBytes
	if p.Collect != nil {
		q.bodyBytes = min(q.bodyBytes, collectBytes)
		q.decodedBytes = min(q.decodedBytes, collectBytes)
	}
}

// restrict makes the decoder refuse what the sender's key does not allow.
func (d *decoder) restrict(c *access.Collect) {
	d.collect = c
	if c != nil {
		d.oldest = max(d.oldest, d.now-collectPast.Microseconds())
	}
}

// mayKeep reports whether refused events of the request may become dead letters. Nothing that a key of scope collect
// sends does. A replay is not bounded by that key, so it would accept events of any age. Dead letters would also take
// the room of those of other keys.
func (q *request) mayKeep() bool { return q.principal.Collect == nil }

// maySeePlaces reports whether the sender may learn where its events are in the log. Two positions tell how much all
// tenants send, so a key of scope collect gets none.
func (q *request) maySeePlaces() bool { return q.principal.Collect == nil }
