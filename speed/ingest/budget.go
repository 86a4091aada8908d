package ingest

import (
	"net/http"
	"sync"
	"sync/atomic"

	"recount/schemas/problem"
)

// budget is the memory that all requests share.
//
// Where there are several tenants, no tenant may hold more than is left for all others. So
// a single tenant gets at most a half, two tenants get a third each, and the next tenant
// always finds room. A fixed share for each would waste most of the memory, because most
// tenants are silent most of the time.
type budget struct {
	left    atomic.Int64
	tenants sync.Map // tenant to *atomic.Int64, the bytes it holds; at most one for each tenant that has a key
}

// held returns the counter of the bytes that a tenant holds.
func (b *budget) held(tenant string) *atomic.Int64 {
	held, ok := b.tenants.Load(tenant)
	if !ok {
		held, _ = b.tenants.LoadOrStore(tenant, new(atomic.Int64))
	}
	return held.(*atomic.Int64)
}

// reserve adds n bytes to what a tenant holds, or returns why there is no room for them.
func (b *budget) reserve(held *atomic.Int64, n int, fair bool) *problem.Problem {
	left := b.left.Add(-int64(n))
	total := held.Add(int64(n))
	if left >= 0 && (!fair || total <= left) {
		return nil
	}
	b.release(held, n)
	if left < 0 {
		return memoryUsed
	}
	return shareUsed
}

// release takes n bytes from what a tenant holds.
func (b *budget) release(held *atomic.Int64, n int) {
	held.Add(-int64(n))
	b.left.Add(int64(n))
}

// maxShare is how much of limit one tenant can ever hold.
func (c *Config) maxShare(limit int) int {
	if c.Fair {
		return limit / 2
	}
	return limit
}

const (
	// baseCost is what every request pays, for its goroutine, buffers and scratch memory.
	baseCost = 64 << 10
	// payStep is how many bytes are paid for at a time while columns grow.
	payStep = 256 << 10
	// maxKeptBuffer is the largest buffer that is kept for the next request.
	maxKeptBuffer = 4 << 20
	// maxKeptBuckets is the largest number of buckets whose map is kept for the next request.
	maxKeptBuckets = 1 << 12
)

var (
	memoryUsed = problem.New(http.StatusTooManyRequests, problem.Overloaded, "the memory for requests is used up")
	shareUsed  = problem.New(http.StatusTooManyRequests, problem.ShareUsed,
		"the requests of this tenant hold their share of the memory; the rest is for other tenants")
)

// requestTooLarge refuses a request that could not be accepted even without any load.
var requestTooLarge = problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge,
	"the events of the request need more memory than one request may have; split it")

// pay reserves n bytes of the budget for this request.
func (q *request) pay(n int) *problem.Problem {
	if q.paid+n > q.cfg.maxShare(q.cfg.Memory) {
		return requestTooLarge
	}
	if p := q.budget.reserve(q.held, n, q.cfg.Fair); p != nil {
		return p
	}
	q.paid += n
	return nil
}

// charge counts n more bytes that the request keeps, and pays for them in steps.
func (q *request) charge(n int) *problem.Problem {
	if q.used += n; q.used > q.paid-baseCost-cap(q.body) {
		return q.pay(payStep + n)
	}
	return nil
}

// answerCost is the most that an event needs in the answer, as a rejection and as JSON, with
// an id and a message of these lengths. An accepted event pays for it too: the log may still
// refuse the event, and then the request cannot be refused for lack of memory any more.
func answerCost(id, message int) int { return 256 + 7*id + 2*message }
