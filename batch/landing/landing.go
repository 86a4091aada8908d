package landing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Source is the log. Errors that wrap neither position.ErrTrimmed nor position.ErrGap are waited out.
type Source interface {
	// Read opens a reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
	// Heartbeat appends a message without events, which ends an idle segment (C1).
	Heartbeat(ctx context.Context, partition int) error
}

// Objects keeps the Parquet objects. lake.Store is one.
type Objects interface {
	// Put stores the body durably. After an error the object may or may not be there.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64) error
	// Get returns a whole object.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Config is what a Lander can be given. The zero value works.
type Config struct {
	Logger     *slog.Logger // nil discards
	Registerer prometheus.Registerer
	Now        func() time.Time // nil is time.Now
	Attempt    func() string    // a new name at every call, unique for ever; nil is crypto/rand.Text
	// OnCommit is called after a partition's head moved, from the partition's goroutine: it
	// must return at once.
	OnCommit func(partition int)
	// Encode makes an object of a table; nil is object.Table.Encode.
	Encode func(*object.Table) ([]byte, record.Object, error)
}

// Lander lands partitions. Run does the work; the other methods may be called at any time.
type Lander struct {
	partitions []*partition
}

// StoppedError says that a partition has stopped and needs an operator (C7): an event that
// was acknowledged cannot be read, or the chain is not what it was. Err says which.
type StoppedError struct {
	Partition int
	At        position.Offset // the chain head
	Err       error
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("landing of partition %d stopped at epoch %d, sequence %d: %v", e.Partition, e.At.Epoch,
		e.At.Seq, e.Err)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// New returns a lander of the chains' partitions. The chains must have begun (Begin); the
// lander works on copies.
func New(cfg Config, chains []*record.Chain, src Source, records record.CommitLog, objects Objects) (*Lander, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Attempt == nil {
		cfg.Attempt = rand.Text
	}
	if cfg.OnCommit == nil {
		cfg.OnCommit = func(int) {}
	}
	if cfg.Encode == nil {
		cfg.Encode = (*object.Table).Encode
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register landing metrics: %w", err)
	}
	l := &Lander{}
	for _, c := range chains {
		if !c.Begun() {
			return nil, fmt.Errorf("land partition %d: its chain has no first record: call Begin", c.Partition)
		}
		l.partitions = append(l.partitions, newPartition(cfg, m, snapshot(c), src, records, objects))
	}
	return l, nil
}

// Run lands until ctx ends. A partition that has to stop does not stop the others; it goes
// on when another has continued its chain. Run returns a *StoppedError of each that stands
// still then.
func (l *Lander) Run(ctx context.Context) error {
	errs := make([]error, len(l.partitions))
	var wg sync.WaitGroup
	for i, p := range l.partitions {
		wg.Go(func() { errs[i] = p.run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stopped returns a *StoppedError of each partition that has stopped, joined, or nil. What
// such a partition has not landed stays in the log, which in the end is full.
func (l *Lander) Stopped() error {
	var errs []error
	for _, p := range l.partitions {
		if err := p.stopped.Load(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Heads returns the chain heads, in the order of the chains given to New.
func (l *Lander) Heads() []position.Offset {
	heads := make([]position.Offset, len(l.partitions))
	for i, p := range l.partitions {
		heads[i] = p.seen.Load().Head
	}
	return heads
}

// Chains returns the chains as they are, in the order given to New. They share their
// records with the lander's and never change; extending one copies it.
func (l *Lander) Chains() []*record.Chain {
	chains := make([]*record.Chain, len(l.partitions))
	for i, p := range l.partitions {
		c := *p.seen.Load()
		chains[i] = &c
	}
	return chains
}
