package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"recount/deploy/client"
	"recount/deploy/client/acklog"
)

const (
	loadWorkers = 4
	loadBatch   = 200 // the most events of one request
	loadPages   = 20
	loadUsers   = 400

	// breakerDelay is short, so that a server meets requests soon after its start.
	breakerDelay = 100 * time.Millisecond
)

// load is a client with several connections. It sends each request with the same ids until it
// is acknowledged, and writes the acknowledgement log. The content of an event is computed
// from its number, so it need not be kept.
type load struct {
	seed    uint64
	senders []*client.Client // one a server; a worker changes with every request
	base    time.Time        // base is the earliest event time; all are within a few hours of it.
	log     *acklog.Writer
	file    *os.File

	stop    chan struct{}
	wg      sync.WaitGroup
	cancel  context.CancelFunc
	acked   atomic.Int64
	retries atomic.Int64
	paused  sync.RWMutex // paused is locked while no request may be open.

	untimed atomic.Bool // untimed sends some events without a time.

	mu    sync.Mutex
	truth map[string]*counts // truth holds the right counts of each page.
	err   error
}

// counts holds the right answer for one page.
type counts struct {
	Hits, N int64
	users   map[int64]bool
}

func newLoad(seed uint64, file string, urls ...string) (*load, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	l := &load{seed: seed, file: f, log: acklog.NewWriter(f), stop: make(chan struct{}), truth: map[string]*counts{},
		base: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, url := range urls {
		s, err := client.New(client.Config{URL: url, Connections: loadWorkers, Timeout: 5 * time.Second,
			Breaker: client.Breaker{Delay: breakerDelay},
			OnRetry: func(error) error {
				l.retries.Add(1)
				return nil
			}})
		if err != nil {
			return nil, err
		}
		l.senders = append(l.senders, s)
	}
	return l, nil
}

func (l *load) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	for worker := range loadWorkers {
		l.wg.Go(func() { l.work(ctx, worker) })
	}
}

func (l *load) work(ctx context.Context, worker int) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(worker)+10))
	run := fmt.Sprintf("w%d", worker)
	for first, n := int64(0), 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rng.IntN(60)) * time.Millisecond):
		}
		count := int64(1 + rng.IntN(loadBatch))
		if err := l.send(ctx, rng, run, first, count, l.senders[(worker+n)%len(l.senders)]); err != nil {
			l.fail(err)
			return
		}
		first += count
	}
}

// send sends one request until it is acknowledged and records the acknowledgement.
func (l *load) send(ctx context.Context, rng *rand.Rand, run string, first, count int64, to *client.Client) error {
	l.paused.RLock()
	defer l.paused.RUnlock()
	began := time.Now()
	answer, err := to.SendLines(ctx, l.body(rng, run, first, count))
	line := acklog.Line{Kind: acklog.Acked, Run: run, First: first, Count: count, Receipt: answer.Receipt,
		Intended: began.UnixMicro(), Done: time.Now().UnixMicro()}
	if err == nil && len(answer.Rejected) > 0 {
		err = fmt.Errorf("the server rejected an event: %+v", answer.Rejected[0])
	}
	if err != nil {
		line.Kind = acklog.Unknown
		return fmt.Errorf("send events %d to %d of run %s: %w", first, first+count-1, run,
			errors.Join(err, l.log.Write(line)))
	}
	l.acked.Add(count)
	l.remember(run, first, count)
	return l.log.Write(line)
}

// body encodes a request: some events occur twice, some have no time.
func (l *load) body(rng *rand.Rand, run string, first, count int64) (body []byte) {
	for i := first; i < first+count; i++ {
		e := l.event(run, i)
		at := fmt.Sprintf(`"time":%q,`, e.at.Format(time.RFC3339))
		if l.untimed.Load() && i%16 == 0 {
			at = ""
		}
		line := fmt.Appendf(nil,
			`{"specversion":"1.0","id":%q,"source":"torture","type":"hit",%s`+
				`"data":{"page":"/p%d","user":"u%d","n":%d}}`+"\n",
			acklog.ID(run, i), at, e.page, e.user, i)
		body = append(body, line...)
		if rng.IntN(20) == 0 {
			body = append(body, line...)
		}
	}
	return body
}

type event struct {
	page, user int64
	at         time.Time
}

// event computes the content of event i of a run.
func (l *load) event(run string, i int64) event {
	rng := rand.New(rand.NewPCG(l.seed^uint64(run[1]), uint64(i)))
	return event{page: rng.Int64N(loadPages), user: rng.Int64N(loadUsers),
		at: l.base.Add(time.Duration(rng.IntN(3*3600)) * time.Second)}
}

// remember adds acknowledged events to the truth.
func (l *load) remember(run string, first, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := first; i < first+count; i++ {
		e := l.event(run, i)
		page := fmt.Sprintf("/p%d", e.page)
		c := l.truth[page]
		if c == nil {
			c = &counts{users: map[int64]bool{}}
			l.truth[page] = c
		}
		c.Hits++
		c.N += i
		c.users[e.user] = true
	}
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// withoutRequests runs f while no request is open.
func (l *load) withoutRequests(f func() error) error {
	l.paused.Lock()
	defer l.paused.Unlock()
	return f()
}

// finish waits until every request has ended. After the given time it cancels them.
func (l *load) finish(within time.Duration) error {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	timer := time.AfterFunc(within, l.cancel)
	l.wg.Wait()
	timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.log.Flush())
}

func (l *load) close() {
	l.cancel()
	l.wg.Wait()
	_ = l.log.Flush()
	_ = l.file.Close()
	for _, s := range l.senders {
		s.Close()
	}
}
