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
	logger *slog.Logger
	view   openapi.View
	events *Events
	end    time.Time    // end is the end of the schedule.
	next   atomic.Int64 // next is the first request of the schedule that no worker has taken.
	acks   *acklog.Writer
	tally  *tally
	bodies sync.Pool // bodies holds values of type *encoder.
}

// Options are optional inputs of a load.
type Options struct {
	AckLog io.Writer    // AckLog gets the acknowledgement log. The caller closes it.
	Every  func(Tick)   // Every is called once a second.
	Logger *slog.Logger // Logger may be nil.
}

const (
	// lead is the time between the start of Run and the first request, in which goroutines start.
	lead = 50 * time.Millisecond
	// ahead is how long before its request is due a body is encoded.
	ahead = 5 * time.Millisecond
)

// Run sends the load and returns its summary. The summary is nil if nothing was sent: there is no server or no such
// view. With another error it counts what was sent until then: the acknowledgement log could not be written.
func Run(ctx context.Context, c Config, o Options) (*Summary, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.limitBatch()
	l := &Load{cfg: c, logger: o.Logger, acks: acklog.NewWriter(io.Discard), tally: newTally()}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
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

// connect returns a client that sends each request once. The schedule decides when a request is sent, and the load
// decides when it is sent again.
func connect(c Config) (*client.Client, error) {
	return client.New(client.Config{URL: c.URL, Key: c.Key, UserAgent: "recount-load", Timeout: c.Timeout,
		Connections: c.InFlight + queriers, Retry: client.Retry{Attempts: 1}, Breaker: client.Breaker{Failures: -1}})
}

// run starts all goroutines of the load and waits for them. Retries may continue for Drain after the schedule.
func (l *Load) run(ctx context.Context, start time.Time, every func(Tick)) error {
	ctx, cancel := context.WithDeadline(ctx, l.end.Add(l.cfg.Drain+l.cfg.Timeout))
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel() // The ticks end with the load.
		requests, ctx := errgroup.WithContext(ctx)
		for range l.cfg.InFlight {
			requests.Go(func() error { return l.work(ctx, start) })
		}
		l.query(ctx, requests, start)
		return requests.Wait()
	})
	g.Go(func() error {
		l.tally.tick(ctx, every)
		return nil
	})
	return g.Wait()
}

// work sends the next request of the schedule until the schedule ends. There are InFlight workers. When all of them
// wait for answers, the next request waits for a worker and counts as late.
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

// send sends one request until it has a final answer, or until the time for retries is over.
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
		// A random wait of up to twice as long, so that requests refused together are not sent again together.
		wait := max(a.wait, 20*time.Millisecond<<min(try, 6))
		again := time.Now().Add(wait + rand.N(wait))
		if again.After(l.end.Add(l.cfg.Drain)) || !sleepUntil(ctx, again) {
			l.tally.giveUp()
			return nil
		}
	}
}

// try encodes the request, waits until it is due and sends it. It returns nil if the load ends first.
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
	l.tally.finish(time.Since(due), time.Since(sent), a)
	return a
}

// record writes the promises of an attempt to the acknowledgement log.
func (l *Load) record(n int64, due time.Time, a *attempt) error {
	fresh, copies := l.events.numbers.request(n)
	promises, wrong := l.promises(a, fresh, copies)
	l.tally.addPromises(promises, wrong)
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
