package landing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
)

// errMoved means that another process created the next record of the chain. The open segment has
// landed there, or its epoch has ended.
var errMoved = errors.New("another process created the next record")

const (
	// warnEvery is the shortest time between two warnings of a partition.
	warnEvery = 5 * time.Second
	// lookEvery is how often a stopped partition looks for a record that lets it continue.
	lookEvery = 5 * time.Second
	// maxFailing is how long a stage may fail before Failing says so. A restart of the object store takes less.
	maxFailing = 5 * time.Minute
)

// partition is the state machine of one partition. Its goroutine owns every field but shown, stopped and failing.
type partition struct {
	id      int
	cfg     Config
	metrics partitionMetrics
	source  Source
	records record.CommitLog
	objects Objects

	chain   *record.Chain
	shown   atomic.Pointer[record.Chain] // the chain that Heads and Chains show; it is replaced, never changed
	schemas map[string]bool              // keys of the schemas known to be stored
	warned  time.Time                    // when the last warning was logged
	stopped atomic.Pointer[StoppedError] // nil while the partition lands
	failing atomic.Pointer[FailingError] // nil while no stage fails
}

func newPartition(cfg Config, m *metrics, chain *record.Chain, source Source, records record.CommitLog,
	objects Objects) *partition {
	p := &partition{id: chain.Partition, cfg: cfg, metrics: m.forPartition(chain.Partition), source: source,
		records: records, objects: objects, chain: chain, schemas: map[string]bool{}}
	p.shown.Store(cloneChain(chain))
	p.metrics.head.Set(float64(chain.Head.Seq))
	return p
}

// run lands until ctx ends. It returns a *StoppedError if the partition is stopped then.
func (p *partition) run(ctx context.Context) error {
	for {
		err := p.follow(ctx, math.MaxUint64)
		p.metrics.clearOpen()
		if errors.Is(err, errMoved) {
			continue
		}
		if errors.Is(err, ErrReplaced) {
			return &StoppedError{Partition: p.id, At: p.chain.Head, Err: err}
		}
		moved, walkErr := p.adoptLanded(ctx, err)
		if ctx.Err() != nil {
			return nil
		}
		if moved {
			continue
		}
		if err := p.stop(ctx, cmp.Or(walkErr, err)); err != nil {
			return err
		}
	}
}

// fail notes that a try of a stage has failed. The error of the newest try counts, and the time of the first.
func (p *partition) fail(s stage, err error) {
	now := p.cfg.Now()
	since := now
	if before := p.failing.Load(); before != nil {
		since = before.Since
	}
	p.failing.Store(&FailingError{Partition: p.id, Stage: s.String(), Since: since, Err: err})
	p.metrics.retries[s].Inc()
	p.metrics.failing.Set(now.Sub(since).Seconds())
}

// endFailing notes that no stage fails any more.
func (p *partition) endFailing() {
	if p.failing.Load() != nil {
		p.failing.Store(nil)
		p.metrics.failing.Set(0)
	}
}

// stop raises the alarm of C7 and C10, and waits. Only a record may lead past a message that cannot be
// read: the hole of an operator, a seal because the log lost its end (L5), or the segment of a
// lander that could read the message. So the partition reads no more of the log before there is one. A chain that
// lacks records goes on when they are back.
func (p *partition) stop(ctx context.Context, err error) error {
	p.metrics.alarms.Inc()
	p.cfg.Logger.ErrorContext(ctx, "landing has stopped: acknowledged events cannot land until an operator acts",
		"partition", p.id, "epoch", p.chain.Head.Epoch, "head", p.chain.Head.Seq, "error", err)
	stopped := &StoppedError{Partition: p.id, At: p.chain.Head, Err: err}
	p.stopped.Store(stopped)
	for sleep(ctx, lookEvery) == nil {
		head := p.chain.Head
		newest, newestErr := p.cfg.Published(ctx)
		if recoverErr := p.recover(ctx); recoverErr != nil {
			continue
		}
		whole := errors.Is(err, record.ErrMissing) && checkPublished(newest, newestErr, p.chain) == nil
		if whole || p.chain.Head != head {
			p.stopped.Store(nil)
			p.cfg.Logger.WarnContext(ctx, "landing continues", "partition", p.id, "epoch", p.chain.Head.Epoch, "head",
				p.chain.Head.Seq)
			return nil
		}
	}
	return stopped
}

// adoptLanded walks the chain again if the log has lost the wanted message. Another lander may have
// landed it, and then the log was trimmed rightly (C6).
func (p *partition) adoptLanded(ctx context.Context, err error) (moved bool, walkErr error) {
	lost := errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap)
	if !lost || failpoint.Off(failpoint.C6) {
		return false, nil
	}
	head := p.chain.Head
	walkErr = p.recover(ctx)
	return walkErr == nil && p.chain.Head != head, walkErr
}

// recover walks the chain to its head: RECOVER.
func (p *partition) recover(ctx context.Context) error {
	failpoint.Point("landing.recover.before")
	defer failpoint.Point("landing.recover.after")
	return p.retry(ctx, stageRecover, func() error {
		err := Extend(ctx, p.records, p.chain)
		p.announceHead() // Records that were read before an error count too.
		return err
	})
}

// announceHead shows the chain to Heads and Chains, and calls OnCommit, if the head has moved: ACK.
func (p *partition) announceHead() {
	if p.shown.Load().Head == p.chain.Head {
		return
	}
	failpoint.Point("landing.ack.before")
	p.shown.Store(cloneChain(p.chain))
	p.metrics.head.Set(float64(p.chain.Head.Seq))
	p.cfg.OnCommit(p.id)
	failpoint.Point("landing.ack.after")
}

// follow consumes the log from the chain head up to end, and lands all of it, until an error ends it.
func (p *partition) follow(ctx context.Context, end uint64) error {
	newest, newestErr := p.cfg.Published(ctx)
	if err := p.recover(ctx); err != nil {
		return explainFork(ctx, p.records, err, p.chain)
	}
	if err := checkPublished(newest, newestErr, p.chain); err != nil {
		return err
	}
	if p.cfg.Log != "" && p.chain.Log != "" && p.chain.Log != p.cfg.Log {
		return fmt.Errorf("%w: the commit chain follows log %s now, and this process has log %s", ErrReplaced,
			p.chain.Log, p.cfg.Log)
	}
	cutter := position.NewCutter(p.chain.Epochs, p.chain.Head.Seq)
	in := &intake{p: p, cutter: cutter, want: p.chain.Head.Seq}
	defer in.close()
	open := newSegment(p.chain)
	for in.want < end {
		failpoint.Point("landing.consume.before")
		m, err := in.next(ctx)
		if err != nil {
			return err
		}
		failpoint.Point("landing.consume.after")
		h, batches, err := m.Decode()
		if err != nil {
			return fmt.Errorf("message %d of type %q: %w", m.Seq, h.Type, err)
		}
		begins := cutter.Add(m.Cut(h))
		if failpoint.Off(failpoint.C1) && open.events > 0 {
			begins = begins || p.cfg.Now().Unix()%3 == 0
		}
		if begins {
			if err := p.land(ctx, open, m.Seq); err != nil {
				return err
			}
			open = newSegment(p.chain)
			in.resetHeartbeat()
		}
		if err := open.add(m, h, batches); err != nil {
			return fmt.Errorf("message %d of type %q: %w", m.Seq, h.Type, err)
		}
		p.metrics.setOpen(open)
	}
	if p.chain.Head.Seq >= end {
		return nil
	}
	return p.land(ctx, open, end)
}

// retry runs a step until it succeeds, ctx ends, or the error wraps record.ErrInvalid, which no
// further try can mend. There is no last try: the log keeps the events that have not landed (L6).
func (p *partition) retry(ctx context.Context, s stage, step func() error) error {
	for try := 0; ; try++ {
		err := p.timeStage(s, step)
		if err == nil || errors.Is(err, record.ErrInvalid) {
			p.endFailing()
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.fail(s, err)
		p.warn(ctx, "landing waits and tries again", "stage", s.String(), "error", err)
		if err := sleep(ctx, pause(try)); err != nil {
			return err
		}
	}
}

// timeStage runs a step and observes how long it took, also if it failed.
func (p *partition) timeStage(s stage, step func() error) error {
	start := p.cfg.Now()
	err := step()
	p.metrics.seconds[s].Observe(p.cfg.Now().Sub(start).Seconds())
	return err
}

// warn logs at most once in warnEvery, because a store that is down for a night must not fill the disk.
func (p *partition) warn(ctx context.Context, msg string, args ...any) {
	now := p.cfg.Now()
	if now.Sub(p.warned) < warnEvery {
		return
	}
	p.warned = now
	p.cfg.Logger.WarnContext(ctx, msg, append([]any{"partition", p.id, "head", p.chain.Head.Seq}, args...)...)
}
