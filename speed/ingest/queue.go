package ingest

import (
	"net/http"
	"sync"
	"time"

	"recount/schemas/problem"
)

// chunk holds the events of one request that have the same partition and type. The request
// owns it. Between submit and done a committer may read it.
type chunk struct {
	columns
	partition int
	tenant    string
	indexes   []int32 // of the events in the request
	done      *sync.WaitGroup

	queuedAt time.Time

	// The committer sets these before done: the place in the log, or why there is none.
	seq       uint64
	first     int // index in the message of the chunk's first event
	rejection *rejection
}

// cost is how many bytes of the queue the chunk uses: those of its frame, and some for an almost empty chunk.
func (c *chunk) cost() int { return c.bytes + 1024 }

func (c *chunk) recycle() {
	c.reset()
	c.indexes = c.indexes[:0]
	c.tenant = ""
	c.done = nil
	c.rejection = nil
	c.seq = 0
	c.first = 0
	c.eventType.chunks.Put(c)
}

// queue holds the chunks that wait for the log of one partition.
//
// Bytes count from reserve to release, so they include those of appends under way. They
// never exceed limit. While the oldest chunk has waited longer than wait, no chunk is let
// in (see gate).
type queue struct {
	mu           sync.Mutex
	chunks       []*chunk
	queuedEvents int // of chunks
	queuedBytes  int // of chunks
	reserved     int // bytes
	limit        int
	fair         bool           // no tenant may reserve more than is left, as in budget
	byTenant     map[string]int // reserved bytes; a tenant without any is absent
	wait         time.Duration
	closed       bool
	groupEvents  int
	groupBytes   int
	wake         chan struct{} // holds a token when there may be something to do
}

func newQueue(cfg *Config) *queue {
	return &queue{limit: cfg.QueueBytes, wait: cfg.Wait, fair: cfg.Fair, byTenant: map[string]int{},
		groupEvents: cfg.GroupEvents, groupBytes: cfg.GroupBytes, wake: make(chan struct{}, 1)}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// reserve makes room for a chunk, or returns why there is none.
func (q *queue) reserve(c *chunk) *problem.Problem {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := c.cost()
	switch {
	case q.closed:
		return problem.New(http.StatusServiceUnavailable, problem.ShuttingDown, "the server is shutting down")
	case q.reserved+n > q.limit || q.oldestWait() > q.wait:
		return problem.New(http.StatusTooManyRequests, problem.Overloaded,
			"events arrive faster than the log stores them")
	case q.fair && q.byTenant[c.tenant]+n > q.limit-q.reserved-n:
		return problem.New(http.StatusTooManyRequests, problem.ShareUsed,
			"the events of this tenant arrive faster than the log stores them; the rest of the queue is for other "+
				"tenants")
	}
	q.reserved += n
	q.byTenant[c.tenant] += n
	return nil
}

// reserveSpare makes room for a chunk of dead letters. It leaves half of the queue, in bytes
// and in time, to chunks of events.
func (q *queue) reserveSpare(c *chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.reserved+c.cost() > q.limit/2 || q.oldestWait() > q.wait/2 {
		return false
	}
	q.reserved += c.cost()
	q.byTenant[c.tenant] += c.cost()
	return true
}

// oldestWait is how long the oldest chunk has waited. mu must be held.
func (q *queue) oldestWait() time.Duration {
	if len(q.chunks) == 0 {
		return 0
	}
	return time.Since(q.chunks[0].queuedAt)
}

// lagging reports whether the oldest chunk has waited half of the limit.
func (q *queue) lagging() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.oldestWait() > q.wait/2
}

// release gives back the room of chunks.
func (q *queue) release(chunks ...*chunk) {
	q.mu.Lock()
	for _, c := range chunks {
		n := c.cost()
		q.reserved -= n
		if q.byTenant[c.tenant] -= n; q.byTenant[c.tenant] == 0 {
			delete(q.byTenant, c.tenant)
		}
	}
	q.mu.Unlock()
	q.signal()
}

// push adds a chunk for which room is reserved. It wakes the committer for the first chunk, which begins to linger, and
// when there is enough for a message. Small requests that come in between would only interrupt it.
func (q *queue) push(c *chunk) {
	q.mu.Lock()
	c.queuedAt = time.Now()
	q.chunks = append(q.chunks, c)
	q.queuedEvents += c.n
	q.queuedBytes += c.bytes
	wakes := len(q.chunks) == 1 || q.queuedEvents >= q.groupEvents || q.queuedBytes >= q.groupBytes
	q.mu.Unlock()
	if wakes {
		q.signal()
	}
}

// takeGroup removes the oldest chunks, up to a number of events and bytes. If there are any
// chunks, it removes at least one.
func (q *queue) takeGroup(events, bytes int) []*chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for ; n < len(q.chunks); n++ {
		c := q.chunks[n]
		if n > 0 && (c.n > events || c.bytes > bytes) {
			break
		}
		events -= c.n
		bytes -= c.bytes
		q.queuedEvents -= c.n
		q.queuedBytes -= c.bytes
	}
	group := append([]*chunk(nil), q.chunks[:n]...)
	rest := copy(q.chunks, q.chunks[n:])
	clear(q.chunks[rest:])
	q.chunks = q.chunks[:rest]
	return group
}

// waiting returns how many events and bytes are in the queue and in no group yet.
func (q *queue) waiting() (events, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queuedEvents, q.queuedBytes
}

// held returns the reserved bytes.
func (q *queue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved
}

// largestShare returns the reserved bytes of the tenant that has most.
func (q *queue) largestShare() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := 0
	for _, n := range q.byTenant {
		most = max(most, n)
	}
	return most
}

// close refuses new reservations. Chunks for which room is reserved can still be pushed.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}
