package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/acklog"
	"recount/schemas/openapi"
)

// Load is one run of the generator.
type Load struct {
	cfg    Config
	client *client.Client
	log    *slog.Logger
	view   openapi.View
	events *Events
	end    time.Time    // of the schedule
	next   atomic.Int64 // request of the schedule that nobody took
	acks   *acklog.Writer
	tally  *tally
	bodies sync.Pool // of *encoder
}

// Options are what the process gives a load; each may be zero.
type Options struct {
	AckLog io.Writer  // what the server promised, line by line; the caller closes it
	Every  func(Tick) // told once a second how it goes
	Logger *slog.Logger
}

const (
	// lead is the time between the begin of Run and the first request, for connections and goroutines.
	lead = 50 * time.Millisecond
	// ahead is how long before it is due a body is encoded.
	ahead = 5 * time.Millisecond
)

// Run sends the load and returns what came of it. An error means that the run says
// nothing: no server, no such view, an acknowledgement log that cannot be written.
func Run(ctx context.Context, c Config, o Options) (*Summary, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.spread()
	l := &Load{cfg: c, log: o.Logger, acks: acklog.NewWriter(io.Discard), tally: newTally()}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if o.AckLog != nil {
		l.acks = acklog.NewWriter(o.AckLog)
	}
	var err error
	if l.client, err = connect(c); err != nil {
		return nil, err
	}
	defer l.client.Close()
	if l.view, err = describe(ctx, l.client, c.View); err != nil {
		return nil, err
	}
	start := time.Now().Add(lead)
	l.events = NewEvents(c, l.view, start)
	l.end = start.Add(time.Duration(c.requests()) * c.interval())
	l.bodies.New = func() any { return &encoder{Events: l.events} }
	usage := cpuTime()
	err = l.run(ctx, start, o.Every)
	s := l.tally.summary(c, l.view.Name, time.Since(start), cpuTime()-usage)
	return s, errors.Join(err, l.acks.Flush())
}

// connect returns a client that sends each request once: the schedule says when a request is sent,
// and the load itself when it is sent again.
func connect(c Config) (*client.Client, error) {
	return client.New(client.Config{URL: c.URL, Key: c.Key, UserAgent: "recount-load", Timeout: c.Timeout,
		Connections: c.InFlight + queriers, Retry: client.Retry{Attempts: 1}, Breaker: client.Breaker{Failures: -1}})
}

// run keeps every goroutine of the load. Behind the schedule retries may go on for Drain.
func (l *Load) run(ctx context.Context, start time.Time, every func(Tick)) error {
	ctx, cancel := context.WithDeadline(ctx, l.end.Add(l.cfg.Drain+l.cfg.Timeout))
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel() // Ticks end with the load.
		requests, ctx := errgroup.WithContext(ctx)
		for range l.cfg.InFlight {
			requests.Go(func() error { return l.work(ctx, start) })
		}
		l.query(requests, ctx, start)
		return requests.Wait()
	})
	g.Go(func() error {
		l.tally.tick(ctx, every)
		return nil
	})
	return g.Wait()
}

// work takes the next request of the schedule, again and again. There are InFlight
// workers: when all wait for answers, requests wait for a worker, and count as late.
func (l *Load) work(ctx context.Context, start time.Time) error {
	for {
		n := l.next.Add(1) - 1
		due := start.Add(time.Duration(n) * l.cfg.interval())
		if n >= l.cfg.requests() || !sleepUntil(ctx, due.Add(-ahead)) {
			return nil
		}
		if err := l.send(ctx, n, due); err != nil {
			return err
		}
	}
}

// send brings one request to its end: an answer, or nobody's patience left.
func (l *Load) send(ctx context.Context, n int64, due time.Time) error {
	if time.Since(due) > l.cfg.Patience {
		l.tally.miss()
		return nil
	}
	for try := 0; ; try++ {
		a := l.try(ctx, n, due, try)
		if a == nil {
			return nil
		}
		if err := l.record(n, due, a); err != nil {
			return err
		}
		if !l.cfg.Retry || !a.retryable() {
			return nil
		}
		// Twice the wait at most, so that those who were refused together do not come back together.
		wait := max(a.wait, 20*time.Millisecond<<min(try, 6))
		again := time.Now().Add(wait + rand.N(wait))
		if again.After(l.end.Add(l.cfg.Drain)) || !sleepUntil(ctx, again) {
			l.tally.giveUp()
			return nil
		}
	}
}

// try encodes the request, waits until it is due and sends it. It returns nil when the
// load ended before.
func (l *Load) try(ctx context.Context, n int64, due time.Time, try int) *attempt {
	e := l.bodies.Get().(*encoder)
	defer l.bodies.Put(e)
	body := e.request(n)
	if !sleepUntil(ctx, due) {
		return nil
	}
	fresh, copies := l.events.numbers.request(n)
	sent := time.Now()
	l.tally.send(sent.Sub(due), try > 0, fresh.count+copies.count)
	a := l.post(ctx, body)
	l.tally.done(time.Since(due), time.Since(sent), a)
	return a
}

// record writes what an attempt promised.
func (l *Load) record(n int64, due time.Time, a *attempt) error {
	fresh, copies := l.events.numbers.request(n)
	promises, wrong := l.promises(a, fresh, copies)
	l.tally.promised(promises, wrong)
	now := time.Now().UnixMicro()
	for _, p := range promises {
		p.Run = l.cfg.Run
		p.Receipt = a.result.Receipt
		p.Intended = due.UnixMicro()
		p.Done = now
		if err := l.acks.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// sleepUntil returns false if ctx ended first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
