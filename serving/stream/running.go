package stream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// Answer is one answer to a query.
type Answer struct {
	// ID is the same for equal answers.
	ID string
	// Standing is for Query.Ask: what the answer was a function of.
	Standing string
	// Frame is what readers get.
	Frame []byte

	number uint64 // of the answers of the query that differ from the one before, from 1 on
}

// Query says what to ask, and how often. Two queries with the same Tenant, Text and Interval are one.
type Query struct {
	Tenant string
	Text   string
	// Interval is from the beginning of a round to that of the next. It is longer if a round takes over half of it, and
	// shorter if a reader joins.
	Interval time.Duration
	// Ask returns the answer now. It returns last itself, which may be nil, to say that nothing has changed.
	Ask func(ctx context.Context, last *Answer) (*Answer, error)
}

func (q Query) key() string {
	return strings.Join([]string{q.Tenant, q.Interval.String(), q.Text}, "\n")
}

// freshFor is how old an answer may be when a reader joins. A query that has no place is asked again after it too.
const freshFor = time.Second

// running is a query that runs.
type running struct {
	hub     *Hub
	query   Query
	ctx     context.Context //nolint:containedctx // It ends run.
	cancel  context.CancelFunc
	readers int // hub.mu guards it.

	mu      sync.Mutex // mu guards all that follows.
	newest  *Answer    // nil before the first
	err     error      // why there is no further answer
	changed chan struct{}
	next    *time.Timer // begins the next round
	rested  time.Time   // until then no reader begins a round, and gets the newest answer
	ended   uint64      // how many rounds have ended
	awaited bool        // a reader waits for the end of a round
}

func newRunning(h *Hub, q Query) *running {
	r := &running{hub: h, query: q, changed: make(chan struct{}), next: time.NewTimer(0)}
	r.ctx, r.cancel = context.WithCancel(h.ctx)
	return r
}

// run asks until nobody reads any more, or until an error.
func (r *running) run() {
	defer r.cancel()
	defer r.next.Stop()
	for {
		select {
		case <-r.ctx.Done():
			r.stop(context.Cause(r.ctx))
			return
		case <-r.next.C:
		}
		began := time.Now()
		busy, err := r.round()
		if err != nil {
			r.hub.fail(r) // before readers learn of it: the next one to join begins another query
			r.stop(err)
			return
		}
		r.rest(began, busy)
	}
}

// round asks once, and reports whether the query found no place.
func (r *running) round() (busy bool, err error) {
	r.mu.Lock()
	last := r.newest
	r.mu.Unlock()
	answer, err := r.query.Ask(r.ctx, last)
	result := "asked"
	switch {
	case r.ctx.Err() != nil:
		return false, context.Cause(r.ctx)
	case err != nil && last != nil && errors.Is(err, ErrBusy):
		result = "busy"
	case err != nil:
		result = "failed"
	case answer == last:
		result = "unchanged"
	default:
		r.set(answer)
	}
	r.hub.metrics.rounds.WithLabelValues(result).Inc()
	if result == "busy" {
		return true, nil
	}
	return false, err
}

// rest ends a round and says when the next one begins. A slow query rests as long as it has run, whoever joins.
func (r *running) rest(began time.Time, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(began)
	soonest := min(r.query.Interval, freshFor)
	pause := r.query.Interval
	if busy {
		pause = soonest
	}
	r.next.Reset(max(pause-took, took)) // It forgets the rounds that readers wanted during this one.
	r.rested = began.Add(max(soonest, 2*took))
	r.ended++
	if r.awaited {
		r.awaited = false
		r.tell()
	}
}

// join returns the number of the round whose end a new reader waits for, or 0 if the newest answer is new enough. A
// round that does not run yet begins at once, so there is at most one in freshFor for any number of readers that join.
func (r *running) join() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.rested) {
		return 0
	}
	r.next.Reset(0)
	r.awaited = true
	return r.ended + 1
}

// set makes an answer the newest one, and tells readers if it differs from the one before.
func (r *running) set(a *Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest != nil {
		a.number = r.newest.number
	}
	isNew := r.newest == nil || r.newest.ID != a.ID
	r.newest = a
	if isNew {
		a.number++
		r.tell()
	}
}

// stop tells readers that there is no further answer.
func (r *running) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.tell()
}

// tell wakes the readers. mu must be held.
func (r *running) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Reader reads the answers of a query. One goroutine uses it.
type Reader struct {
	running *running
	first   uint64 // the round that gives its first answer, or 0 if there is one
	sent    uint64 // the number of the answer that was sent last, or 0
}

// Newest returns the newest answer, which is nil before the reader's first, and a channel that is closed when there is
// a newer one. The error says why there will be none.
func (r *Reader) Newest() (a *Answer, changed <-chan struct{}, err error) {
	r.running.mu.Lock()
	defer r.running.mu.Unlock()
	if r.running.ended < r.first {
		return nil, r.running.changed, r.running.err
	}
	return r.running.newest, r.running.changed, r.running.err
}

// Sent counts an answer that has reached the reader, and those that it has skipped.
func (r *Reader) Sent(a *Answer) {
	m := r.running.hub.metrics
	m.sent.Inc()
	if r.sent > 0 && a.number > r.sent {
		m.skipped.Add(float64(a.number - r.sent - 1))
	}
	r.sent = a.number
}

// Leave ends the reader. The query ends with its last reader.
func (r *Reader) Leave() { r.running.hub.leave(r.running) }
