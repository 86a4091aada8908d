package load

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"recount/deploy/client/acklog"
)

// Counts is what happened, in events where it does not say requests.
type Counts struct {
	Sent        int64 `json:"sent"`           // attempts count each
	Acked       int64 `json:"acked"`          // acknowledged as durable, copies included
	Distinct    int64 `json:"distinct"`       // ids acknowledged: what the server must have counted of the run
	Refused     int64 `json:"refused"`        // for good, as malformed ones must be
	Wrong       int64 `json:"wrong"`          // sound ones refused for good or malformed ones accepted
	Requests    int64 `json:"requests"`       // sent, attempts count each
	Retries     int64 `json:"retries"`        // requests sent again
	Shed429     int64 `json:"shed_429"`       // requests refused for load
	Shed503     int64 `json:"shed_503"`       // requests refused for load, in part or as a whole
	NoWait      int64 `json:"no_retry_after"` // of those, without a Retry-After
	Lost        int64 `json:"lost_answers"`   // requests that were sent and not answered
	Unreachable int64 `json:"unreachable"`    // requests without a connection
	Unexpected  int64 `json:"unexpected"`     // requests with any other answer
	// requests sent more than lateSend behind the schedule; their latency says so
	Late        int64 `json:"late_sends"`
	Missed      int64 `json:"missed_sends"`     // requests of the schedule that were not sent at all
	GaveUp      int64 `json:"given_up"`         // requests whose retries did not end in time
	Queries     int64 `json:"queries"`          // answered
	QueryErrors int64 `json:"query_errors"`     // not answered with 200
	QueryMissed int64 `json:"queries_not_sent"` // because earlier ones were under way
}

// lateSend is how far behind the schedule a request is called late. Timers and goroutines cost less.
const lateSend = 10 * time.Millisecond

// tally counts what happens. Histograms are in microseconds.
type tally struct {
	mu sync.Mutex
	Counts
	acks    set
	latency *hdrhistogram.Histogram // of acknowledged requests, from the intended send time
	window  *hdrhistogram.Histogram // the same since the last tick
	sheds   *hdrhistogram.Histogram // of requests refused for load, from their latest send
	sends   *hdrhistogram.Histogram // actual behind intended send time of first attempts
	queries *hdrhistogram.Histogram // of answered queries, from the intended send time
	first   error                   // of the unexpected
}

// maxLatency is the largest latency histograms tell apart.
const maxLatency = 10 * time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency.Microseconds(), 3) }

func newTally() *tally {
	return &tally{latency: newHistogram(), window: newHistogram(), sheds: newHistogram(), sends: newHistogram(),
		queries: newHistogram()}
}

func observe(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(max(1, min(d, maxLatency).Microseconds())) // Always within range.
}

func (t *tally) with(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

func (t *tally) miss()   { t.with(func() { t.Missed++ }) }
func (t *tally) giveUp() { t.with(func() { t.GaveUp++ }) }

// send counts a request that leaves now, so long behind its intended time.
func (t *tally) send(behind time.Duration, again bool, events int64) {
	t.with(func() {
		t.Requests++
		t.Sent += events
		if again {
			t.Retries++
			return
		}
		observe(t.sends, behind)
		if behind > lateSend {
			t.Late++
		}
	})
}

// done counts the outcome of a request, so long after its intended and its actual send time.
func (t *tally) done(intended, actual time.Duration, a *attempt) {
	t.with(func() {
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

// promised counts what lines of the acknowledgement log promise.
func (t *tally) promised(lines []acklog.Line, wrong int64) {
	t.with(func() {
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

// answered counts a query.
func (t *tally) answered(took time.Duration, err error) {
	t.with(func() {
		if err != nil {
			t.QueryErrors++
			return
		}
		t.Queries++
		observe(t.queries, took)
	})
}

// Tick is how a second of the load went.
type Tick struct {
	At     time.Duration // since the first tick began
	Counts               // of the second
	P99    time.Duration // of the requests acknowledged in it, from their intended send times
}

// tick reports once a second until ctx ends.
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
			k := Tick{At: now.Sub(began)}
			t.with(func() {
				k.Counts = t.Counts.minus(before)
				before = t.Counts
				k.P99 = time.Duration(t.window.ValueAtQuantile(99)) * time.Microsecond
				t.window.Reset()
			})
			each(k)
		}
	}
}

// minus is what happened since before, of what a tick shows.
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
	except := map[int64]bool{}
	for _, list := range [][]int64{l.Refused, l.Pending} {
		for _, i := range list {
			except[i] = true
		}
	}
	if need := int((l.First+l.Count)/64) + 1; need > len(s.words) {
		s.words = append(s.words, make([]uint64, need-len(s.words))...)
	}
	for i := l.First; i < l.First+l.Count; i++ {
		if bit := uint64(1) << (i % 64); s.words[i/64]&bit == 0 && (len(except) == 0 || !except[i]) {
			s.words[i/64] |= bit
			added++
		}
	}
	return added
}
