package load

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"recount/deploy/client/acklog"
)

// Counts counts what happened in a load: events up to Wrong, then requests, then queries. Every attempt counts as sent.
type Counts struct {
	Sent     int64 `json:"sent"`
	Acked    int64 `json:"acked"`    // Acked is how many events were acknowledged as durable, with copies.
	Distinct int64 `json:"distinct"` // Distinct is how many ids were acknowledged, which the server must have counted.
	Refused  int64 `json:"refused"`  // Refused is how many events were refused for good, as malformed events must be.
	Wrong    int64 `json:"wrong"`    // Wrong counts valid events refused for good and malformed events accepted.

	Requests    int64 `json:"requests"`
	Retries     int64 `json:"retries"`        // Retries is how many requests were sent again.
	Shed429     int64 `json:"shed_429"`       // Shed429 is how many requests were refused for load with 429.
	Shed503     int64 `json:"shed_503"`       // Shed503 is how many requests were refused with 503, at least in part.
	NoWait      int64 `json:"no_retry_after"` // NoWait is how many of those had no Retry-After.
	Lost        int64 `json:"lost_answers"`   // Lost is how many requests were sent and not answered.
	Unreachable int64 `json:"unreachable"`    // Unreachable is how many requests had no connection.
	Unexpected  int64 `json:"unexpected"`     // Unexpected is how many requests had any other answer.
	Late        int64 `json:"late_sends"`     // Late is how many requests were sent more than lateSend after schedule.
	Missed      int64 `json:"missed_sends"`   // Missed is how many requests of the schedule were not sent.
	GaveUp      int64 `json:"given_up"`       // GaveUp is how many requests had no final answer when retries ended.

	Queries     int64 `json:"queries"`          // Queries is how many queries were answered.
	QueryErrors int64 `json:"query_errors"`     // QueryErrors is how many queries failed.
	QueryMissed int64 `json:"queries_not_sent"` // QueryMissed is how many were not sent, because others took too long.
}

// lateSend is how long after schedule a request must be sent to count as late. Timers and goroutines cost less.
const lateSend = 10 * time.Millisecond

// tally counts the outcomes of a load. Histograms are in microseconds.
type tally struct {
	mu sync.Mutex
	Counts
	acks    set
	latency *hdrhistogram.Histogram // latency is of answered requests, from the intended send time.
	window  *hdrhistogram.Histogram // window is latency since the last tick.
	sheds   *hdrhistogram.Histogram // sheds is of requests refused for load, from the actual send time.
	sends   *hdrhistogram.Histogram // sends is from the intended to the actual send time of first attempts.
	queries *hdrhistogram.Histogram // queries is of answered queries, from the intended send time.
	first   error                   // first is the first error of an attempt.
}

// maxLatency is the largest latency that a histogram holds. Longer latencies count as this one.
const maxLatency = 10 * time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency.Microseconds(), 3) }

func newTally() *tally {
	return &tally{latency: newHistogram(), window: newHistogram(), sheds: newHistogram(), sends: newHistogram(),
		queries: newHistogram()}
}

// observe records a duration.
func observe(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(max(1, min(d, maxLatency).Microseconds())) // The value is always within range.
}

// locked calls f with the lock held.
func (t *tally) locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

func (t *tally) miss()      { t.locked(func() { t.Missed++ }) }
func (t *tally) missQuery() { t.locked(func() { t.QueryMissed++ }) }
func (t *tally) giveUp()    { t.locked(func() { t.GaveUp++ }) }

// send counts a request that is sent now, and its delay after the intended time.
func (t *tally) send(delay time.Duration, again bool, events int64) {
	t.locked(func() {
		t.Requests++
		t.Sent += events
		if again {
			t.Retries++
			return
		}
		observe(t.sends, delay)
		if delay > lateSend {
			t.Late++
		}
	})
}

// finish counts the outcome of an attempt, with the time since its intended and its actual send time.
func (t *tally) finish(intended, actual time.Duration, a *attempt) {
	t.locked(func() {
		switch a.verdict {
		case acked, refused:
			observe(t.latency, intended)
			observe(t.window, intended)
		case shed, partly:
			observe(t.sheds, actual)
			if a.status == 429 {
				t.Shed429++
			} else {
				t.Shed503++
			}
			if a.wait == 0 {
				t.NoWait++
			}
		case lost:
			t.Lost++
		case unreachable:
			t.Unreachable++
		case unexpected:
			t.Unexpected++
		}
		if a.err != nil && t.first == nil {
			t.first = a.err
		}
	})
}

// addPromises counts the events in lines of the acknowledgement log.
func (t *tally) addPromises(lines []acklog.Line, wrong int64) {
	t.locked(func() {
		t.Wrong += wrong
		for _, l := range lines {
			switch l.Kind {
			case acklog.Acked:
				t.Acked += l.Count - int64(len(l.Refused)+len(l.Pending))
				t.Refused += int64(len(l.Refused))
				t.Distinct += t.acks.add(l)
			case acklog.Rejected:
				t.Refused += l.Count
			}
		}
	})
}

// addQuery counts a query.
func (t *tally) addQuery(took time.Duration, err error) {
	t.locked(func() {
		if err != nil {
			t.QueryErrors++
			return
		}
		t.Queries++
		observe(t.queries, took)
	})
}

// Tick reports one second of the load.
type Tick struct {
	At     time.Duration // At is the time since the start of the first tick.
	Counts               // Counts has only the members that minus sets.
	P99    time.Duration // The 99th percentile of the latency of requests answered in the second.
}

// tick calls each once a second until ctx ends.
func (t *tally) tick(ctx context.Context, each func(Tick)) {
	if each == nil {
		return
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	var before Counts
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			tick := Tick{At: now.Sub(began)}
			t.locked(func() {
				tick.Counts = t.minus(before)
				before = t.Counts
				tick.P99 = time.Duration(t.window.ValueAtQuantile(99)) * time.Microsecond
				t.window.Reset()
			})
			each(tick)
		}
	}
}

// minus returns the difference of the counts that a tick reports.
func (c Counts) minus(b Counts) Counts {
	return Counts{
		Sent: c.Sent - b.Sent, Acked: c.Acked - b.Acked, Refused: c.Refused - b.Refused,
		Shed429: c.Shed429 - b.Shed429, Shed503: c.Shed503 - b.Shed503,
		Lost: c.Lost - b.Lost, Unreachable: c.Unreachable - b.Unreachable, Unexpected: c.Unexpected - b.Unexpected,
		Late: c.Late - b.Late, Missed: c.Missed - b.Missed,
	}
}

// set is a set of event numbers.
type set struct{ words []uint64 }

// add adds the acknowledged numbers of a line and returns how many were new.
func (s *set) add(l acklog.Line) (added int64) {
	excluded := map[int64]bool{}
	for _, list := range [][]int64{l.Refused, l.Pending} {
		for _, i := range list {
			excluded[i] = true
		}
	}
	if need := int((l.First+l.Count)/64) + 1; need > len(s.words) {
		s.words = append(s.words, make([]uint64, need-len(s.words))...)
	}
	for i := l.First; i < l.First+l.Count; i++ {
		if bit := uint64(1) << (i % 64); s.words[i/64]&bit == 0 && (len(excluded) == 0 || !excluded[i]) {
			s.words[i/64] |= bit
			added++
		}
	}
	return added
}
