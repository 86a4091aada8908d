package landing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Source is the log. A Lander tries again after every error that wraps neither position.ErrTrimmed nor
// position.ErrGap.
type Source interface {
	// Read opens a reader whose first message is from.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
	// Heartbeat appends a message without events, which ends an idle segment (C1).
	Heartbeat(ctx context.Context, partition int) error
}

// Objects keeps the Parquet objects. lake.Store is one.
type Objects interface {
	// Put stores the body durably. After an error the object may be there or not.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64) error
	// Get returns a whole object.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Config configures a Lander. The zero value works.
type Config struct {
	Log        string                // id of the log that is landed (L8); empty is not compared
	Logger     *slog.Logger          // nil discards log lines
	Registerer prometheus.Registerer // nil registers no metrics
	Now        func() time.Time      // nil means time.Now
	// Attempt returns a name that is unique for ever, a new one at each call. nil means a random one.
	Attempt func() string
	// OnCommit is called after the head of a partition has moved. It runs in the goroutine of the
	// partition, so it must return at once.
	OnCommit func(partition int)
	// Published returns the newest publication. Nothing lands below its H (C10). If it is nil, nothing is compared.
	Published Published
	// Encode makes the object of a table. nil means (*object.Table).Encode.
	Encode func(*object.Table) ([]byte, record.Object, error)
}

// ErrReplaced is wrapped by the error about a chain that follows another log now (L8). An operator has
// started a process with another log in place of this one. Nothing of this log may land any more, and
// nothing more may be accepted into it.
var ErrReplaced = errors.New("the log was replaced")

// Lander lands partitions. Run does the work. The other methods may be called at any time.
type Lander struct {
	partitions []*partition
}

// StoppedError means that a partition has stopped and needs an operator. An acknowledged event
// cannot be read (C7), or the chain lacks records (C10), or it has changed.
type StoppedError struct {
	Partition int
	At        position.Offset // the chain head
	Err       error           // the reason
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("landing of partition %d stopped at epoch %d, sequence %d: %v", e.Partition, e.At.Epoch,
		e.At.Seq, e.Err)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// FailingError means that each try of a stage has failed for a while. The partition tries again until one succeeds, and
// lands nothing until then.
type FailingError struct {
	Partition int
	Stage     string
	Since     time.Time // of the first failed try
	Err       error     // of the newest
}

func (e *FailingError) Error() string {
	return fmt.Sprintf("landing of partition %d has failed at each try of the stage %s since %s, and tries again: %v",
		e.Partition, e.Stage, e.Since.UTC().Format(time.RFC3339), e.Err)
}

func (e *FailingError) Unwrap() error { return e.Err }

// New returns a lander of the partitions of the chains. The chains must have begun (Begin). The
// lander works on copies of them.
func New(cfg Config, chains []*record.Chain, source Source, records record.CommitLog,
	objects Objects) (*Lander, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Attempt == nil {
		cfg.Attempt = newAttempt
	}
	if cfg.OnCommit == nil {
		cfg.OnCommit = func(int) {}
	}
	if cfg.Published == nil {
		cfg.Published = noPublication
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
			return nil, fmt.Errorf("land partition %d: its chain has no first record: call Begin first", c.Partition)
		}
		l.partitions = append(l.partitions, newPartition(cfg, m, cloneChain(c), source, records, objects))
	}
	return l, nil
}

// Run lands until ctx ends. A partition that has to stop does not stop the others, and continues
// when another process has continued its chain. Run returns a *StoppedError for each partition
// that is stopped when ctx ends. It returns at once if a chain follows another log (ErrReplaced).
func (l *Lander) Run(ctx context.Context) error {
	errs := make([]error, len(l.partitions))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, p := range l.partitions {
		wg.Go(func() {
			if errs[i] = p.run(ctx); errors.Is(errs[i], ErrReplaced) {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stopped returns the joined *StoppedErrors of the partitions that have stopped, or nil. The events
// that such a partition has not landed stay in the log, until the log is full.
func (l *Lander) Stopped() error {
	var errs []error
	for _, p := range l.partitions {
		if err := p.stopped.Load(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Failing returns the joined *FailingErrors of the partitions in which a stage has failed for maxFailing, or nil. Their
// events stay in the log, until the log is full.
func (l *Lander) Failing() error {
	var errs []error
	for _, p := range l.partitions {
		if err := p.failing.Load(); err != nil && p.cfg.Now().Sub(err.Since) >= maxFailing {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Heads returns the chain heads, in the order of the chains given to New.
func (l *Lander) Heads() []position.Offset {
	heads := make([]position.Offset, len(l.partitions))
	for i, p := range l.partitions {
		heads[i] = p.shown.Load().Head
	}
	return heads
}

// Chains returns the current chains, in the order given to New. They never change. They share
// their records with the chains of the lander, and extending one copies it.
func (l *Lander) Chains() []*record.Chain {
	chains := make([]*record.Chain, len(l.partitions))
	for i, p := range l.partitions {
		c := *p.shown.Load()
		chains[i] = &c
	}
	return chains
}

// newAttempt returns a random name in lower case. A store of files may have to escape capitals, and a Parquet file
// should have the same name in every store.
func newAttempt() string { return strings.ToLower(rand.Text()) }
