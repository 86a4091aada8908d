package publish

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
)

// CommitLog keeps the publications. lake.CommitLog and lake.DirCommitLog are ones.
type CommitLog interface {
	Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error)
	Get(ctx context.Context, key string) ([]byte, error) // wraps lake.ErrNotFound
	List(ctx context.Context, prefix string) ([]string, error)
}

// Objects is the lake as far as a publisher looks at it itself. lake.Store is one.
type Objects interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[lake.Info, error]
	Head(ctx context.Context, key string) (lake.Info, error) // wraps lake.ErrNotFound
	Delete(ctx context.Context, keys ...string) error
}

// Views is ClickHouse. cells.Store is one.
type Views interface {
	Prepare(ctx context.Context) error      // brings tables up to date
	CreateTables(ctx context.Context) error // of the declared views

	// Insert adds rows of a view under a version and returns what it wrote by bucket;
	// after an error they may be there or not (B4). ReadBack returns what is there (B5).
	Insert(ctx context.Context, v *catalog.View, ver uint64, pieces []exact.Piece) (map[int64]record.BucketVersion,
		error)
	ReadBack(ctx context.Context, v *catalog.View, ver uint64, buckets []int64) (map[int64]record.BucketVersion, error)

	// Project shows people who write SQL publication s, if it is newer than what they see.
	Project(ctx context.Context, s *record.State) error
	DeleteProjection(ctx context.Context, oldest uint64) (rows int64, err error)

	// Versions lists what a table holds of versions below a limit; DropTable deletes all
	// of that, and the table if it is empty then.
	Tables(ctx context.Context) ([]string, error)
	Versions(ctx context.Context, table string, below uint64) iter.Seq2[record.BucketVersion, error]
	DeleteVersions(ctx context.Context, table string, vers []record.BucketVersion) error
	DropTable(ctx context.Context, table string, below uint64) (rows int64, dropped bool, err error)
}

// Chains reads every partition's commit chain anew, partition p at index p. What
// it returns must be at least as long as what any publication was made from.
type Chains func(ctx context.Context) ([]*record.Chain, error)

// The reasons for which At has no state to give. They are the contracts' own, so
// that the serving layer knows them without knowing this package.
var (
	ErrNoPublication = query.ErrNoPublication // there never was one of this number
	ErrExpired       = query.ErrCollected     // it is no longer kept (P3)
)

// Publisher recomputes what is dirty and publishes it. Recompute, Collect and the
// readers' methods may be called concurrently, and several publishers may share
// one chain: the chain decides.
type Publisher struct {
	cfg     Config
	log     CommitLog
	objects Objects
	views   Views
	chains  Chains
	open    exact.Open
	metrics *metrics

	newest  atomic.Pointer[record.State]
	suspect atomic.Bool // rows of the newest publication may be missing
	running sync.Mutex  // held by Recompute and Collect
	reading sync.Mutex  // held while the chain is read on

	mu     sync.Mutex      // guards what follows
	recent []*record.State // consecutive and ascending, ending with the newest; every kept one that is not only pinned
	pins   []uint64        // ascending
	pinned []*record.State // a few pinned states that were asked for, the latest last
}

// New returns a publisher. Call Start before anything else. open is called for
// every object a run reads; it should verify the digest (object.Verify) and must name the object in its errors.
func New(cfg Config, log CommitLog, objects Objects, views Views, chains Chains, open exact.Open) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, log: log, objects: objects, views: views, chains: chains, open: open}
	p.newest.Store(record.EmptyState(cfg.Partitions))
	var err error
	if p.metrics, err = newMetrics(cfg.Registerer, p); err != nil {
		return nil, fmt.Errorf("publish: register metrics: %w", err)
	}
	return p, nil
}

// Start brings the tables up to date and loads the newest publication. Errors: the
// store, ClickHouse, an applied migration that was edited, or a chain that is not one.
func (p *Publisher) Start(ctx context.Context) error {
	p.running.Lock()
	defer p.running.Unlock()
	if err := p.views.Prepare(ctx); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	if err := p.load(ctx); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	if err := p.views.Project(ctx, p.State()); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	return nil
}
