package ingest

import (
	"net/http"
	"sync"
	"sync/atomic"

	"recount/schemas/problem"
)

// budget is the memory all requests share.
//
// Where there are several tenants none may hold more than is left for all others: one
// alone gets at most a half, two a third each, and whoever comes next finds room. A
// fixed share each would waste most of it, for most tenants are silent most of the time.
type budget struct {
	left    atomic.Int64
	tenants sync.Map // name to *atomic.Int64, what the tenant holds; as many as have keys
}

// of is what a tenant holds.
func (b *budget) of(tenant string) *atomic.Int64 {
	held, ok := b.tenants.Load(tenant)
	if !ok {
		held, _ = b.tenants.LoadOrStore(tenant, new(atomic.Int64))
	}
	return held.(*atomic.Int64)
}

func (b *budget) take(mine *atomic.Int64, n int, fair bool) *fault {
	left := b.left.Add(-int64(n))
	held := mine.Add(int64(n))
	if left >= 0 && (!fair || held <= left) {
		return nil
	}
	b.give(mine, n)
	if left < 0 {
		return memoryUsed
	}
	return shareUsed
}

func (b *budget) give(mine *atomic.Int64, n int) {
	mine.Add(-int64(n))
	b.left.Add(int64(n))
}

// most is how much of limit one tenant can ever hold.
func (c *Config) most(limit int) int {
	if c.Fair {
		return limit / 2
	}
	return limit
}

const (
	// baseCost is what a request pays for its goroutine, buffers and scratch.
	baseCost = 64 << 10
	// payStep is how much memory is paid for at a time while columns grow.
	payStep = 256 << 10
	// keepBody is the largest buffer kept for the next request.
	keepBody = 4 << 20
)

var (
	memoryUsed = &fault{code: problem.Overloaded, status: http.StatusTooManyRequests,
		msg: "the memory for requests is used up"}
	shareUsed = &fault{code: problem.ShareUsed, status: http.StatusTooManyRequests,
		msg: "your requests hold their share of memory; the room that is left is for other tenants"}
)

// tooMuch refuses a request that could never be accepted, whatever the load.
var tooMuch = &fault{code: problem.BodyTooLarge, status: http.StatusRequestEntityTooLarge,
	msg: "the events of the request take too much memory; split it"}

// pay takes n bytes of the budget for this request.
func (q *request) pay(n int) *fault {
	if q.paid+n > q.cfg.most(q.cfg.Memory) {
		return tooMuch
	}
	if f := q.budget.take(q.mine, n, q.cfg.Fair); f != nil {
		return f
	}
	q.paid += n
	return nil
}

// charge counts n more bytes that the request keeps, and pays for them in steps.
func (q *request) charge(n int) *fault {
	if q.used += n; q.used > q.paid-baseCost-cap(q.body) {
		return q.pay(payStep + n)
	}
	return nil
}

// answerCost is the most an event takes of the answer, as a rejection and as JSON. It is
// paid for accepted events as well: the log may still refuse them, when nothing can be refused for it.
func answerCost(id, msg int) int { return 256 + 7*id + 2*msg }
