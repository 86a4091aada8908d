package ingest

import (
	"sync"
	"time"

	"recount/schemas/problem"
)

// chunk is what one request has for one partition and event type. The request
// owns it; committers read it between submit and done.
type chunk struct {
	columns
	partition int
	tenant    string  // who sent it
	index     []int32 // of each event in the request
	done      *sync.WaitGroup

	since time.Time // when it was queued

	// Set before done: the place in the log, or why there is none.
	seq   uint64
	first int // index of the chunk's first event in its message
	fault *fault
}

// cost is what the chunk counts against the queue: its frame bytes, and a floor for an almost empty one.
func (c *chunk) cost() int { return c.bytes + 1024 }

func (c *chunk) recycle() {
	c.reset()
	c.index = c.index[:0]
	c.tenant = ""
	c.done = nil
	c.fault = nil
	c.seq = 0
	c.first = 0
	c.typ.chunks.Put(c)
}

// queue holds the chunks that wait for one partition's log. Its bytes count from
// reserve to release, so they include what is being appended, and never pass limit.
// While the oldest chunk has waited longer than wait, nothing is let in (see gate).
type queue struct {
	mu     sync.Mutex
	chunks []*chunk
	events int // of chunks
	ready  int // bytes of chunks
	bytes  int // reserved and not released
	limit  int
	fair   bool           // no tenant may hold more than is left, as in budget
	owed   map[string]int // bytes of each tenant that has some
	wait   time.Duration
	closed bool
	wake   chan struct{} // holds a token when there may be something to do
}

func newQueue(limit int, wait time.Duration, fair bool) *queue {
	return &queue{limit: limit, wait: wait, fair: fair, owed: map[string]int{}, wake: make(chan struct{}, 1)}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// reserve makes room for a chunk, or says why there is none.
func (q *queue) reserve(c *chunk) *fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := c.cost()
	switch {
	case q.closed:
		return &fault{code: problem.ShuttingDown, status: 503, msg: "the server is shutting down"}
	case q.bytes+n > q.limit || q.oldest() > q.wait:
		return &fault{code: problem.Overloaded, status: 429, msg: "events arrive faster than the log stores them"}
	case q.fair && q.owed[c.tenant]+n > q.limit-q.bytes-n:
		return &fault{code: problem.ShareUsed, status: 429,
			msg: "your events arrive faster than the log stores them; " +
				"the room that is left is for other tenants"}
	}
	q.bytes += n
	q.owed[c.tenant] += n
	return nil
}

// reserveSpare makes room for a chunk that may not crowd out what others bring: at most half
// of the queue is for such.
func (q *queue) reserveSpare(c *chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+c.cost() > q.limit/2 || q.oldest() > q.wait/2 {
		return false
	}
	q.bytes += c.cost()
	q.owed[c.tenant] += c.cost()
	return true
}

// oldest is how long the oldest chunk has waited. q.mu must be held.
func (q *queue) oldest() time.Duration {
	if len(q.chunks) == 0 {
		return 0
	}
	return time.Since(q.chunks[0].since)
}

// behind says that the oldest chunk has waited half of what is allowed.
func (q *queue) behind() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.oldest() > q.wait/2
}

// release gives back the room of chunks.
func (q *queue) release(chunks ...*chunk) {
	q.mu.Lock()
	for _, c := range chunks {
		n := c.cost()
		q.bytes -= n
		if q.owed[c.tenant] -= n; q.owed[c.tenant] == 0 {
			delete(q.owed, c.tenant)
		}
	}
	q.mu.Unlock()
	q.signal()
}

// push adds a chunk whose room is reserved.
func (q *queue) push(c *chunk) {
	q.mu.Lock()
	c.since = time.Now()
	q.chunks = append(q.chunks, c)
	q.events += c.n
	q.ready += c.bytes
	q.mu.Unlock()
	q.signal()
}

// take removes the oldest chunks up to a number of events and bytes, at least one if there is any.
func (q *queue) take(events, bytes int) []*chunk {
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
		q.events -= c.n
		q.ready -= c.bytes
	}
	group := append([]*chunk(nil), q.chunks[:n]...)
	rest := copy(q.chunks, q.chunks[n:])
	clear(q.chunks[rest:])
	q.chunks = q.chunks[:rest]
	return group
}

// waiting returns the events and bytes that nobody took yet.
func (q *queue) waiting() (events, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events, q.ready
}

// held returns the reserved bytes.
func (q *queue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// largest returns the reserved bytes of the tenant that has most.
func (q *queue) largest() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := 0
	for _, n := range q.owed {
		most = max(most, n)
	}
	return most
}

// close refuses new reservations. What is reserved will still be pushed.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}
