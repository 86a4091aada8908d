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

// mayKeep reports whether the event that was refused may become a dead letter. A replay of it is not bounded by the key
// that sent it, so nothing is kept that this key may not send.
func (q *request) mayKeep() bool {
	c := q.principal.Collect
	return c == nil || c.AllowsType(string(q.decoder.attributes[attrType]))
}
