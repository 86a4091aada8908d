package exact

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// Columns of an object that are not part of an event.
const (
	ColSeq   = "_seq"   // sequence of the row's message, int64
	ColIndex = "_index" // index of the event in its message, int32
)

// File is an open object. Read yields the rows [from, to) in file order, in chunks of any size.
// A column that the file does not have is absent. A chunk is valid until the next iteration.
// String columns are array.String, or array.Dictionary with int32 indices and array.String
// values. Read must allow concurrent calls.
type File interface {
	Read(ctx context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error]
	Has(column string) bool
	Close() error
}

// Open opens an object of the lake. The error must name the object.
type Open func(ctx context.Context, o record.Object) (File, error)

// Object is an object with the place of its segment.
type Object struct {
	record.Object
	Partition int
	Start     uint64 // first sequence of the segment
	Fresh     bool   // Counts.Accounts counts its rows; all later objects of the partition must be fresh too
}

// Target is a view and the buckets to compute for it, ascending.
type Target struct {
	View    *catalog.View
	Buckets []int64
}

// Input is the work on one event type. Objects must hold every object of the type below H that
// has rows of a wanted bucket, or of a bucket beside a wanted one (I3). Others are ignored.
type Input struct {
	Catalog *catalog.Catalog
	Type    string
	Objects []Object
	Buckets []int64  // buckets to deduplicate, ascending; the buckets of every target are among them
	Targets []Target // views of the type; may be empty
	Limit   int      // values that a dimension may have from a tenant in a bucket; 0 means any number (B7)

	// Whole are the buckets of which Counts.Accounts counts all rows, because no run before has counted any of them.
	Whole map[int64]bool

	// OnCopy is called for each duplicate, by several goroutines at once. It may be nil.
	OnCopy func(Copy)

	// OnRows is called with all rows of the buckets, of which it gets these columns: declared fields, and any others
	// that objects have. Calls do not overlap. It is nil if nobody wants the rows themselves. Otherwise Targets is
	// empty.
	OnRows  func(Rows) error
	Columns []string
}

// Row is a row of an object.
type Row struct {
	Key string // of the object
	Row int64
}

// Copy is a duplicate, and the row at a lower position that it is a copy of. That row may be a duplicate, too (I3).
type Copy struct {
	Row, Of  Row
	Conflict bool // the two are known to differ in their payload
}

// Owner is a tenant in a partition.
type Owner struct {
	Tenant    string
	Partition int
}

// Counts is what deduplication counted. Accounts count the fresh rows and all rows of whole buckets, and the duplicates
// among them.
type Counts struct {
	Buckets  []record.BucketCount // in the order of Input.Buckets
	Accounts map[Owner]record.Account
}

// Config bounds a run.
type Config struct {
	// Workers is how many tasks run at once.
	Workers int
	// GiveWay is called by a worker after each chunk of rows, with how long the chunk took. It may
	// wait, so that more urgent work goes first. Nil never waits.
	GiveWay func(worked time.Duration)
	// Memory is how many bytes the tasks may hold together, by estimate. One task may exceed it
	// when a single bucket needs more.
	Memory int64

	span, slice int64 // rows of a span of several buckets and of a slice; 0 means the default
}

// DefaultConfig uses every core and 2 GiB.
func DefaultConfig() Config { return Config{Workers: runtime.GOMAXPROCS(0), Memory: 2 << 30} }

// LeastMemory is the least Config.Memory.
const LeastMemory = 16 << 20

// Validate returns an error that names each wrong field and says what to write instead.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 1 {
		errs = append(errs, fmt.Errorf("batch.workers: %d; use at least 1", c.Workers))
	}
	if c.Memory < LeastMemory {
		errs = append(errs, fmt.Errorf("batch.memory: %d bytes; use at least %d", c.Memory, LeastMemory))
	}
	return errors.Join(errs...)
}

// Run deduplicates the buckets and calls emit with the aggregates of every target. Calls of emit
// do not overlap. Blocks come in any order, but all rows of a cell of a view are in one block, in
// their order. Run fails when open, a read or emit fails, and when a column is not of the
// declared type.
func Run(ctx context.Context, cfg Config, open Open, in Input, emit func(*Block) error) (Counts, error) {
	if err := cfg.Validate(); err != nil {
		return Counts{}, fmt.Errorf("recompute %s: %w", in.Type, err)
	}
	p := newPlan(cfg, in)
	g, ctx := errgroup.WithContext(ctx)
	r := &run{
		plan: p, files: newFiles(ctx, open, p), emit: emit, giveWay: cfg.GiveWay,
		pools: make([]sync.Pool, len(in.Targets)),
		cpu:   make(chan struct{}, cfg.Workers), memory: semaphore.NewWeighted(cfg.Memory), limit: cfg.Memory,
	}
	for i, t := range in.Targets {
		r.pools[i].New = func() any { return r.newViewTask(t.View) }
	}
	if r.giveWay == nil {
		r.giveWay = func(time.Duration) {}
	}
	defer r.files.closeAll()
	found := make([]Counts, len(p.spans))
	g.SetLimit(cfg.Workers)
	for i := range p.spans {
		g.Go(func() (err error) {
			found[i], err = r.computeSpan(ctx, &p.spans[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Counts{}, fmt.Errorf("recompute %s: %w", in.Type, err)
	}
	all := Counts{Accounts: map[Owner]record.Account{}}
	for _, f := range found {
		all.Buckets = append(all.Buckets, f.Buckets...)
		all.addAccounts(f.Accounts)
	}
	return all, nil
}

// run is one call of Run.
type run struct {
	*plan
	files   *files
	mu      sync.Mutex // held while emit runs
	emit    func(*Block) error
	giveWay func(time.Duration)
	cpu     chan struct{}
	memory  *semaphore.Weighted
	pools   []sync.Pool // of *viewTask, by target

	dedupers sync.Pool // of *deduper
	limit    int64
}

// computeSpan deduplicates the span partition by partition, then aggregates it slice by slice.
func (r *run) computeSpan(ctx context.Context, s *span) (Counts, error) {
	defer r.files.release(s)
	found := make([]Counts, len(s.parts))
	g, spanCtx := errgroup.WithContext(ctx)
	for i, p := range s.parts {
		r.startTask(spanCtx, g, p.rows*dedupBytes, func() (err error) {
			found[i], err = r.dedup(spanCtx, s, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Counts{}, err
	}
	failpoint.Point("exact.dedup.after")
	if r.in.OnRows != nil {
		if err := r.sendRows(ctx, s); err != nil {
			return Counts{}, err
		}
	}
	if len(s.views) == 0 {
		return sumCounts(s, found), nil
	}
	if s.slices > 1 && r.mayOverflow(s) {
		s.admissions = newAdmissions(s)
		defer func() { s.admissions = nil }()
	}
	g, spanCtx = errgroup.WithContext(ctx)
	for k := range s.slices {
		r.startTask(spanCtx, g, s.rows*s.rowBytes/int64(s.slices), func() error { return r.aggregate(spanCtx, s, k) })
	}
	defer failpoint.Point("exact.aggregate.after")
	return sumCounts(s, found), g.Wait()
}

// startTask waits for memory and a worker, and then runs work in g. So tasks start in the order in which
// they are given. A task may wait for a worker while it holds memory, but never for memory while it
// holds a worker. So a task that has a worker has all it needs and ends, and tasks cannot block each
// other for ever.
func (r *run) startTask(ctx context.Context, g *errgroup.Group, bytes int64, work func() error) {
	bytes = min(max(bytes, 1), r.limit)
	if err := r.memory.Acquire(ctx, bytes); err != nil {
		g.Go(func() error { return err })
		return
	}
	select {
	case r.cpu <- struct{}{}:
	case <-ctx.Done():
		r.memory.Release(bytes)
		g.Go(func() error { return ctx.Err() })
		return
	}
	g.Go(func() error {
		defer r.memory.Release(bytes)
		defer func() { <-r.cpu }()
		return work()
	})
}

// sumCounts returns the sum of the counts of a span's parts.
func sumCounts(s *span, parts []Counts) Counts {
	total := Counts{Buckets: make([]record.BucketCount, len(s.buckets)), Accounts: map[Owner]record.Account{}}
	for i, b := range s.buckets {
		t := &total.Buckets[i]
		t.Bucket = b
		for _, p := range parts {
			t.Rows += p.Buckets[i].Rows
			t.Duplicates += p.Buckets[i].Duplicates
			t.Conflicts += p.Buckets[i].Conflicts
		}
	}
	for _, p := range parts {
		total.addAccounts(p.Accounts)
	}
	return total
}

func (c *Counts) addAccounts(accounts map[Owner]record.Account) {
	for o, a := range accounts {
		c.Accounts[o] = c.Accounts[o].Plus(a)
	}
}
