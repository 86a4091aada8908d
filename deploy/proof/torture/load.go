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
	loadBatch   = 200 // most events of a request
	loadPages   = 20
	loadUsers   = 400
)

// load is a client with several connections that sends each request with the same ids
// until it is acknowledged, and keeps the acknowledgement log. What an event says is
// computed from its number, so the truth need not be remembered.
type load struct {
	seed    uint64
	senders []*client.Sender // one a server; a worker changes with every request
	base    time.Time        // event times are in the hours behind it
	log     *acklog.Writer
	file    *os.File

	stop    chan struct{}
	wg      sync.WaitGroup
	cancel  context.CancelFunc
	acked   atomic.Int64
	retries atomic.Int64
	paused  sync.RWMutex // held by whoever wants no request under way

	untimed atomic.Bool // send some events without a time

	mu    sync.Mutex
	truth map[string]*counts // by page
	err   error
}

// counts is what the answer must be for one page.
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
		s := client.New(url, loadWorkers)
		s.Client.Timeout = 5 * time.Second
		s.Retries = func(error) error {
			l.retries.Add(1)
			return nil
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

// send brings one request to its end and notes what was promised.
func (l *load) send(ctx context.Context, rng *rand.Rand, run string, first, count int64, to *client.Sender) error {
	l.paused.RLock()
	defer l.paused.RUnlock()
	began := time.Now()
	answer, err := to.Send(ctx, l.body(rng, run, first, count))
	line := acklog.Line{Kind: acklog.Acked, Run: run, First: first, Count: count, Receipt: answer.Receipt,
		Intended: began.UnixMicro(), Done: time.Now().UnixMicro()}
	if err == nil && len(answer.Rejected) > 0 {
		err = fmt.Errorf("rejected for good: %+v", answer.Rejected[0])
	}
	if err != nil {
		line.Kind = acklog.Unknown
		return fmt.Errorf("send %s %d+%d: %w", run, first, count, errors.Join(err, l.log.Write(line)))
	}
	l.acked.Add(count)
	l.remember(run, first, count)
	return l.log.Write(line)
}

// body is the request: some events twice, some without a time.
func (l *load) body(rng *rand.Rand, run string, first, count int64) (body []byte) {
	for i := first; i < first+count; i++ {
		e := l.event(run, i)
		at := fmt.Sprintf(`"time":%q,`, e.at.Format(time.RFC3339))
		if l.untimed.Load() && i%16 == 0 {
			at = ""
		}
		line := fmt.Appendf(nil,
			`{"specversion":"1.0","id":%q,"source":"torture","type":"hit",%s"data":{"page":"/p%d","user":"u%d","n":%d}}`+"\n",
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

// event computes what event i of a run says.
func (l *load) event(run string, i int64) event {
	rng := rand.New(rand.NewPCG(l.seed^uint64(run[1]), uint64(i)))
	return event{page: rng.Int64N(loadPages), user: rng.Int64N(loadUsers),
		at: l.base.Add(time.Duration(rng.IntN(3*3600)) * time.Second)}
}

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
		c.Hits = c.Hits + 1
		c.N = c.N + i
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

// quiet runs f while no request is under way.
func (l *load) quiet(f func() error) error {
	l.paused.Lock()
	defer l.paused.Unlock()
	return f()
}

// finish lets every request come to its end, at most for the time.
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
}
