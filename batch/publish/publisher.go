package publish

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

// Objects is the part of the lake that a publisher needs itself. lake.Store implements it.
type Objects interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[lake.Info, error]
	Head(ctx context.Context, key string) (lake.Info, error) // wraps record.ErrNotFound
	Delete(ctx context.Context, keys ...string) error
}

// Views is the batch views in ClickHouse. cells.Store implements it.
type Views interface {
	Prepare(ctx context.Context) error      // brings all tables up to date
	CreateTables(ctx context.Context) error // creates the missing tables of declared views
	Declare(c *catalog.Catalog)             // makes the declared views those of another catalog

	// Insert adds rows of a view under a version and returns what it wrote, by bucket. After an
	// error the rows may be there or not (B4).
	Insert(ctx context.Context, v *catalog.View, version uint64,
		pieces []exact.BlockRows) (map[int64]record.BucketVersion, error)

	// Project makes the SQL VIEWs show publication s, unless they show it or a later one already.
	// Refuse makes every SQL VIEW of the declared views an error with this message, until the next Project.
	// Projected returns the highest number of a publication that the projection has rows of, or 0.
	// DeleteProjection deletes what no reader of publication oldest or a later one needs.
	Project(ctx context.Context, s *record.State) error
	Refuse(ctx context.Context, message string) error
	Projected(ctx context.Context) (n uint64, err error)
	DeleteProjection(ctx context.Context, oldest uint64) (rows int64, err error)

	// ReadVersions returns what is there of some versions of a view, by bucket (B5).
	ReadVersions(ctx context.Context, v *catalog.View,
		versions []record.BucketVersion) (map[int64]record.BucketVersion, error)

	// Versions lists the versions below a limit that a table holds. DropTable deletes their rows,
	// then the table if it is empty.
	Tables(ctx context.Context) ([]string, error)
	Versions(ctx context.Context, table string, below uint64) iter.Seq2[record.BucketVersion, error]
	DeleteVersions(ctx context.Context, table string, versions []record.BucketVersion) error
	DropTable(ctx context.Context, table string, below uint64) (rows int64, dropped bool, err error)
}

// Chains reads the commit chains of all partitions, partition p at index p. Each chain must be at
// least as long as the one that any existing publication was made from.
type Chains func(ctx context.Context) ([]*record.Chain, error)

// Publisher recomputes dirty buckets and publishes them. All its methods may be called
// concurrently, and several publishers may share one chain: the record that was created first
// counts.
type Publisher struct {
	cfg     Config
	records record.CommitLog
	objects Objects
	views   Views
	chains  Chains
	open    exact.Open
	metrics *metrics

	newest  atomic.Pointer[record.State]
	suspect atomic.Bool // rows of the newest publication may be missing or changed

	lost         atomic.Pointer[lost]    // the publication that is known to be missing; nil if none is
	viewsRefused atomic.Bool             // SQL VIEWs fail, because a publication is missing, until the next project
	newestRun    atomic.Pointer[witness] // what Config.Runs returned; nil until it was asked

	running sync.Mutex // held by Recompute and Collect
	defined bool       // this process has stored the definitions of its views; running guards it

	generation uint64 // that of cfg.Catalog; running guards both
	bucket     time.Duration

	nextCheck time.Time // when the rows of the newest publication are checked without a suspicion; running guards it

	reading sync.Mutex // held while publications are read
	readAt  time.Time  // when they were last read; reading guards it

	mu     sync.Mutex                  // guards the fields below
	known  map[string]*catalog.Catalog // definitions that Definition has read, by key
	recent []*record.State             // the states kept for their age or number, consecutive, the newest last
	pins   []uint64                    // the pinned publications, ascending
	// collected is the highest horizon of collection: publications before it are kept only if they are pinned.
	collected uint64
	// forgottenBefore is the highest number of a record of forgotten publications. That publication existed.
	forgottenBefore uint64
	refused         error           // why the newest run of Recompute refused what is stored; nil if it did not
	pinned          []*record.State // a few states of pinned publications that StateAt returned, the latest last
}

// New returns a publisher. Call Start before any other method. open is called for every object that
// a run reads. It should verify the digest (object.Verify), and its errors must name the object.
func New(cfg Config, records record.CommitLog, objects Objects, views Views, chains Chains,
	open exact.Open) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, records: records, objects: objects, views: views, chains: chains, open: open,
		bucket: cfg.Catalog.Bucket}
	p.newest.Store(record.EmptyState(cfg.Partitions))
	var err error
	if p.metrics, err = newMetrics(cfg.Registerer, p); err != nil {
		return nil, fmt.Errorf("publish: register metrics: %w", err)
	}
	return p, nil
}

// Start brings the tables up to date and loads the newest publications. It fails when the store or
// ClickHouse fails, when an applied migration was edited, and when a record does not continue the
// chain.
func (p *Publisher) Start(ctx context.Context) error {
	p.running.Lock()
	defer p.running.Unlock()
	if err := p.views.Prepare(ctx); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	if err := p.loadNewest(ctx); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	err := p.checkNumbers(ctx)
	if errors.Is(err, record.ErrMissing) {
		// Newest returns the same error, so nothing is answered, landed or published.
		p.cfg.Logger.Error("nothing is answered, landed, published or collected until an operator acts", "error", err)
		return nil
	}
	if err == nil {
		err = p.project(ctx)
	}
	if err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	return nil
}

// Load loads the newest publications, and refuses what Start refuses of their records. It asks no witness whether later
// ones are missing, and changes nothing.
func (p *Publisher) Load(ctx context.Context) error {
	p.running.Lock()
	defer p.running.Unlock()
	if err := p.loadNewest(ctx); err != nil {
		return fmt.Errorf("start publisher: %w", err)
	}
	return nil
}

// project makes the SQL VIEWs show the newest publication. While its rows may be missing, it leaves the VIEWs as they
// are: a VIEW over a ClickHouse that was restored from an older copy would show the rows that are left.
func (p *Publisher) project(ctx context.Context) error {
	if p.suspect.Load() {
		return nil
	}
	if err := p.views.Project(ctx, p.State()); err != nil {
		return err
	}
	p.viewsRefused.Store(false)
	return nil
}
