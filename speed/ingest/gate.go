package ingest

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"recount/schemas/problem"
)

// gate lets one request a processor be decoded at a time, in the order they came, so that
// a request waits in one place, where its wait can be measured, instead of sharing the
// processors with all others until each has taken too long.
//
// Overload is a matter of time, not of bytes: what fits into memory may take many
// seconds to work through, and a client that was told 429 at once can do better than one
// that was answered after its own timeout. So nobody waits longer than limit, and while
// those who get through have waited half of it, newcomers are refused before their body
// is read: the refusal costs next to nothing, and the wait of the others stays below limit.
type gate struct {
	limit   time.Duration
	slots   *semaphore.Weighted
	waiting atomic.Int64
	latest  atomic.Int64 // how long the latest request that got through had waited
	came    atomic.Int64 // when the latest request came, in nanoseconds since 1970
}

func newGate(limit time.Duration) *gate {
	return &gate{limit: limit, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
}

// behind says that those who get through have waited half of what is allowed.
func (g *gate) behind() bool {
	return g.waiting.Load() > 0 && time.Duration(g.latest.Load()) > g.limit/2
}

// idleAfter is how long after a request nobody is taken to send any more.
const idleAfter = 100 * time.Millisecond

// busy says that requests come in.
func (g *gate) busy() bool { return time.Since(time.Unix(0, g.came.Load())) < idleAfter }

// enter waits for a turn, which leave ends.
func (g *gate) enter(ctx context.Context) *fault {
	g.came.Store(time.Now().UnixNano())
	if g.slots.TryAcquire(1) {
		g.latest.Store(0)
		return nil
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, g.limit)
	defer cancel()
	began := time.Now()
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return tooBusy
	}
	g.latest.Store(int64(time.Since(began)))
	return nil
}

func (g *gate) leave() { g.slots.Release(1) }

// tooBusy refuses a request for now.
var tooBusy = &fault{code: problem.Overloaded, status: http.StatusTooManyRequests,
	msg: "events arrive faster than the server takes them"}
