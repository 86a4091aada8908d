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

// gate lets one request per processor be decoded at a time, in order of arrival. So requests
// wait in one place, where the wait can be measured. Without it they would share the
// processors until every one of them had taken too long.
//
// The gate bounds time, because memory alone does not: requests that fit into memory may
// still need many seconds of work. A client that is answered 429 at once can do better than
// one that is answered after its own timeout. So no request waits longer than limit. While
// the requests that get through have waited half of limit, new ones are refused before
// their body is read. Such a refusal costs next to nothing, and keeps the wait below limit.
type gate struct {
	limit       time.Duration
	slots       *semaphore.Weighted
	waiting     atomic.Int64
	lastWait    atomic.Int64 // how long the last request that got through had waited
	lastArrival atomic.Int64 // nanoseconds since 1970
}

func newGate(limit time.Duration) *gate {
	return &gate{limit: limit, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
}

// lagging reports whether requests that get through have waited half of the limit.
func (g *gate) lagging() bool {
	return g.waiting.Load() > 0 && time.Duration(g.lastWait.Load()) > g.limit/2
}

// idleAfter is how long after a request the gate still counts as busy.
const idleAfter = 100 * time.Millisecond

// busy reports whether requests arrive.
func (g *gate) busy() bool { return time.Since(time.Unix(0, g.lastArrival.Load())) < idleAfter }

// enter waits for a slot. The request leaves it with leave.
func (g *gate) enter(ctx context.Context) *problem.Problem {
	g.lastArrival.Store(time.Now().UnixNano())
	if g.slots.TryAcquire(1) {
		g.lastWait.Store(0)
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
	g.lastWait.Store(int64(time.Since(began)))
	return nil
}

func (g *gate) leave() { g.slots.Release(1) }

// tooBusy refuses a request that would wait too long.
var tooBusy = problem.New(http.StatusTooManyRequests, problem.Overloaded,
	"events arrive faster than the server can decode and store them")
