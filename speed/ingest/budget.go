package ingest

import (
	"net/http"
	"sync/atomic"
)

// budget is the memory all requests share.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }

const (
	// baseCost is what a request pays for its goroutine, buffers and scratch.
	baseCost = 64 << 10
	// payStep is how much memory is paid for at a time while columns grow.
	payStep = 256 << 10
	// keepBody is the largest buffer kept for the next request.
	keepBody = 4 << 20
)

// tooMuch refuses a request that could never be accepted, whatever the load.
var tooMuch = &fault{code: CodeBodyTooLarge, status: http.StatusRequestEntityTooLarge, msg: "the events of the request take too much memory; split it"}

// pay takes n bytes of the budget for this request.
func (q *request) pay(n int) *fault {
	if q.paid+n > q.cfg.Memory {
		return tooMuch
	}
	if !q.budget.take(n) {
		return &fault{code: CodeOverloaded, status: http.StatusTooManyRequests, msg: "the memory for requests is used up"}
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
