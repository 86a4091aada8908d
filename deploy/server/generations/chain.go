package generations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

// Generation is one state of the catalog. It is immutable, and so is its catalog.
type Generation struct {
	N       uint64 // 0 before the first one
	Digest  string // of the record's bytes; empty before the first one
	Catalog *catalog.Catalog
	Record  *record.Generation // nil before the first one
}

// Config says over what a chain runs.
type Config struct {
	Bucket time.Duration // width of a bucket of every generation
	Code   string        // version of the program, which records hold
	// Every is how often Run looks for the next generation. 0 means DefaultEvery.
	Every time.Duration
	// Named returns the highest generation that a publication or a message names. No generation is made while that one
	// is missing, because its number would be given twice. Nil means that none is named.
	Named      func() Named
	Now        func() time.Time      // nil means time.Now
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil registers nothing
}

const (
	// DefaultEvery leaves room for a look that fails in the second within which a process knows a change.
	DefaultEvery = 400 * time.Millisecond
	// lookEvery is the least time between two looks that requests ask for.
	lookEvery = 50 * time.Millisecond
	// lookTimeout bounds a look.
	lookTimeout = 5 * time.Second
)

// Chain follows the generations of one object store. Its methods may be called concurrently.
type Chain struct {
	cfg     Config
	records record.CommitLog
	current atomic.Pointer[Generation]
	gauge   prometheus.Gauge

	reading chan struct{} // held while records are read; it has one place
	looked  time.Time     // when the last look began; reading guards it

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	failed  error         // why the newest generation cannot be read; nil if it can
}

// Open reads the chain to its end. The current generation has the number 0 if there is none.
func Open(ctx context.Context, cfg Config, records record.CommitLog) (*Chain, error) {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, records: records, reading: make(chan struct{}, 1), changed: make(chan struct{}),
		gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_catalog_generation",
			Help: "Number of the generation of the catalog that this process uses."})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(c.gauge); err != nil {
			return nil, fmt.Errorf("open the catalog: %w", err)
		}
	}
	c.current.Store(&Generation{Catalog: record.Declarations{}.Catalog(cfg.Bucket)})
	if err := c.load(ctx); err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	return c, nil
}

// load begins at the highest generation that a listing has, and reads on. recount verify reads those before it (V13).
func (c *Chain) load(ctx context.Context) error {
	keys, err := c.records.List(ctx, record.GenerationPrefix)
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, key := range keys {
		n, err := record.GenerationNumber(key)
		if err != nil {
			return err
		}
		newest = max(newest, n)
	}
	if newest > 0 {
		raw, err := c.records.Get(ctx, record.GenerationKey(newest))
		if err != nil {
			return err
		}
		g, err := c.decode(newest, raw)
		if err != nil {
			return err
		}
		c.adopt(g)
	}
	return c.Refresh(ctx)
}

// Current returns the newest generation that this process knows. It never blocks.
func (c *Chain) Current() *Generation { return c.current.Load() }

// Catalog returns the catalog of the current generation.
func (c *Chain) Catalog() *catalog.Catalog { return c.Current().Catalog }

// Changed returns a channel that is closed when the next generation becomes the current one. A caller that asks for
// the channel before it reads the current generation misses none.
func (c *Chain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Failed returns why this process cannot follow the chain, or nil. It uses the last generation that it could read.
func (c *Chain) Failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// Run follows the chain until ctx ends. It logs an error once and tries again.
func (c *Chain) Run(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		before := c.Failed()
		err := c.Refresh(look)
		cancel()
		if err != nil && ctx.Err() == nil && (before == nil || before.Error() != err.Error()) {
			c.cfg.Logger.Error("the catalog cannot be followed; this process uses the generation that it has",
				"generation", c.Current().N, "error", err)
		}
	}
}

// Refresh reads the generations after the current one. A generation that was created before the call is known
// afterwards.
func (c *Chain) Refresh(ctx context.Context) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	return c.read(ctx)
}

// Look does the same as Refresh, but not more often than every few milliseconds for all callers together. It is for
// requests that name what this process does not know: their number is a client's.
func (c *Chain) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked := time.Now()
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	if c.looked.After(asked) {
		return nil // Another caller has looked meanwhile.
	}
	if wait := lookEvery - time.Since(c.looked); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.read(ctx)
}

func (c *Chain) lock(ctx context.Context) error {
	select {
	case c.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Chain) unlock() { <-c.reading }

// read reads the generations after the current one. reading must be held.
func (c *Chain) read(ctx context.Context) error {
	c.looked = time.Now()
	for {
		current := c.Current()
		raw, err := c.records.Get(ctx, record.GenerationKey(current.N+1))
		if errors.Is(err, record.ErrNotFound) {
			c.setFailed(nil)
			return nil
		}
		if err == nil {
			err = c.advance(current, raw)
		}
		if err != nil {
			err = fmt.Errorf("read generation %d of the catalog: %w", current.N+1, err)
			c.setFailed(err)
			return err
		}
	}
}

// advance makes raw, the record after the current generation, the current one. reading must be held.
func (c *Chain) advance(current *Generation, raw []byte) error {
	g, err := c.decode(current.N+1, raw)
	if err != nil {
		return err
	}
	if err := g.Record.Follows(current.N, current.Digest); err != nil {
		return err
	}
	c.adopt(g)
	return nil
}

func (c *Chain) decode(n uint64, raw []byte) (*Generation, error) {
	r, err := record.DecodeGeneration(raw)
	if err != nil {
		return nil, err
	}
	if r.N != n || r.Bucket != c.cfg.Bucket {
		return nil, fmt.Errorf("%w: %s holds generation %d with buckets of %s, and the installation has buckets of "+
			"%s; restore the record from a copy of the bucket", record.ErrInvalid, record.GenerationKey(n), r.N,
			r.Bucket, c.cfg.Bucket)
	}
	return &Generation{N: n, Digest: record.Digest(raw), Catalog: r.Catalog(), Record: r}, nil
}

// adopt makes a generation the current one. reading must be held, or no other goroutine know the chain.
func (c *Chain) adopt(g *Generation) {
	before := c.current.Swap(g)
	c.gauge.Set(float64(g.N))
	c.cfg.Logger.Info("the catalog has a generation", "generation", g.N, "by", g.Record.By, "before", before.N)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Chain) setFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
}
