package landing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
)

// errMoved says that another moved the chain: what is open here has landed elsewhere, or
// belongs to an epoch that has ended.
var errMoved = errors.New("another created the next record")

const (
	// warnEvery bounds how often a partition logs the same trouble.
	warnEvery = 5 * time.Second
	// lookEvery is how often a partition that has stopped looks for a record that lets it go on.
	lookEvery = 5 * time.Second
)

// partition is the state machine of one partition. Its goroutine owns everything but seen and stopped.
type partition struct {
	id      int
	cfg     Config
	m       partitionMetrics
	src     Source
	records record.CommitLog
	objects Objects

	chain   *record.Chain
	seen    atomic.Pointer[record.Chain] // what Heads and Chains show; never changed
	schemas map[string]bool              // keys of the schemas known to be stored
	warned  time.Time
	stopped atomic.Pointer[StoppedError] // nil while it lands
}

func newPartition(cfg Config, m *metrics, chain *record.Chain, src Source, records record.CommitLog,
	objects Objects) *partition {
	p := &partition{id: chain.Partition, cfg: cfg, m: m.of(chain.Partition), src: src, records: records,
		objects: objects, chain: chain, schemas: map[string]bool{}}
	p.seen.Store(snapshot(chain))
	p.m.head.Set(float64(chain.Head.Seq))
	return p
}

// snapshot copies a chain so that extending either does not show in the other.
func snapshot(c *record.Chain) *record.Chain {
	out := *c
	out.Epochs = slices.Clip(c.Epochs)
	out.Segments = slices.Clip(c.Segments)
	out.Holes = slices.Clip(c.Holes)
	return &out
}

// run lands until ctx ends. That is an error for a partition that has stopped then.
func (p *partition) run(ctx context.Context) error {
	for {
		err := p.follow(ctx)
		p.m.discard()
		if errors.Is(err, errMoved) {
			continue
		}
		moved, walkErr := p.behind(ctx, err)
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

// stop is the alarm of C7. What the partition cannot read it may pass only by a record: an
// operator's hole, the seal of an owner who found the log's end lost (L5), or the segment of
// a lander that could read it. So it reads no more of the log before there is one.
func (p *partition) stop(ctx context.Context, err error) error {
	p.m.alarms.Inc()
	p.cfg.Logger.ErrorContext(ctx, "landing has stopped: acknowledged events cannot land until an operator acts",
		"partition", p.id, "epoch", p.chain.Head.Epoch, "head", p.chain.Head.Seq, "error", err)
	stopped := &StoppedError{Partition: p.id, At: p.chain.Head, Err: err}
	p.stopped.Store(stopped)
	for sleep(ctx, lookEvery) == nil {
		head := p.chain.Head
		if err := p.recover(ctx); err == nil && p.chain.Head != head {
			p.stopped.Store(nil)
			p.cfg.Logger.WarnContext(ctx, "landing goes on", "partition", p.id, "epoch", p.chain.Head.Epoch, "head",
				p.chain.Head.Seq)
			return nil
		}
	}
	return stopped
}

// behind walks the chain again where the log's failure may only mean that this lander is
// behind another that has landed, and trimmed, what is missing here (C6).
func (p *partition) behind(ctx context.Context, err error) (moved bool, walkErr error) {
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
		p.publish() // What was read before an error counts too.
		return err
	})
}

// publish shows the chain to readers and says so if its head moved: ACK.
func (p *partition) publish() {
	if p.seen.Load().Head == p.chain.Head {
		return
	}
	failpoint.Point("landing.ack.before")
	p.seen.Store(snapshot(p.chain))
	p.m.head.Set(float64(p.chain.Head.Seq))
	p.cfg.OnCommit(p.id)
	failpoint.Point("landing.ack.after")
}

// follow consumes from the chain head until something makes it begin again.
func (p *partition) follow(ctx context.Context) error {
	if err := p.recover(ctx); err != nil {
		return err
	}
	cutter := position.NewCutter(p.chain.Epochs, p.chain.Head.Seq)
	in := &intake{p: p, cutter: cutter, want: p.chain.Head.Seq}
	defer in.close()
	open := newSegment(p.chain)
	for {
		failpoint.Point("landing.consume.before")
		m, err := in.next(ctx)
		if err != nil {
			return err
		}
		failpoint.Point("landing.consume.after")
		h, batches, err := eventbatch.Decode(m.Frame)
		if err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
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
			in.cut()
		}
		if err := open.add(m, h, batches); err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		p.m.open(open)
	}
}

// retry does a step until it succeeds, ctx ends, or an error says that trying again
// cannot help. There is no last try: the log keeps what has not landed (L6).
func (p *partition) retry(ctx context.Context, s stage, step func() error) error {
	for try := 0; ; try++ {
		err := p.timed(s, step)
		if err == nil || errors.Is(err, record.ErrInvalid) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.m.retries[s].Inc()
		p.warn(ctx, "landing waits", "stage", s.String(), "error", err)
		if err := sleep(ctx, pause(try)); err != nil {
			return err
		}
	}
}

// timed does a step and notes how long it took, failed or not.
func (p *partition) timed(s stage, step func() error) error {
	start := p.cfg.Now()
	err := step()
	p.m.seconds[s].Observe(p.cfg.Now().Sub(start).Seconds())
	return err
}

// warn logs at most once in warnEvery: a store that is down for a night must not fill the disk.
func (p *partition) warn(ctx context.Context, msg string, args ...any) {
	now := p.cfg.Now()
	if now.Sub(p.warned) < warnEvery {
		return
	}
	p.warned = now
	p.cfg.Logger.WarnContext(ctx, msg, append([]any{"partition", p.id, "head", p.chain.Head.Seq}, args...)...)
}
