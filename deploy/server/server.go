package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"recount/batch/deadletters"
	"recount/batch/landing"
	"recount/batch/publish"
	"recount/deploy/server/janitor"
	"recount/deploy/server/keys"
	"recount/deploy/server/quota"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/serving/scores"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

// Options are what a process gives its stack.
type Options struct {
	Roles  Roles
	Logger *slog.Logger // nil discards
	// Registry gets the metrics of all components, and /metrics shows what is in it. Nil is a new one.
	Registry Registry
}

// Registry is where a process registers its metrics and gathers them.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Stack is one running process: engines, the roles over them, and the HTTP server.
type Stack struct {
	cfg      Config
	roles    Roles
	log      *slog.Logger
	registry Registry
	lock     *os.File
	engines  *engines
	catalog  *catalog.Catalog
	marks    *janitor.Marks
	tally    *tally          // nil without ingest
	chains   []*record.Chain // as they were at start, or read on
	reading  sync.Mutex      // held while chains are read on
	verified sync.Map        // keys of the objects whose digest was compared

	publisher *publish.Publisher
	views     *realtime.Views
	lander    *landing.Lander
	ingest    *ingest.Server
	letters   *deadletters.Store
	batch     *batchview.Views
	api       *api.API
	auditor   *jobs.Auditor
	grader    *scores.Grader // nil unless this process has both the batch and the speed layer
	scheduler *jobs.Scheduler

	keys   *keys.Watcher // nil when there are none
	quotas *quota.Quotas
	doors  []*door // the public one first
}

// Open brings everything up, in the order in which each part can trust the one
// before, and listens. Nothing is accepted before Run.
func Open(ctx context.Context, cfg Config, o Options) (_ *Stack, err error) {
	s := &Stack{cfg: cfg, roles: o.Roles, log: o.Logger, registry: o.Registry}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{
		s.openKeys,
		s.openEngines,     // one process a data_dir; the log, the lake and ClickHouse keep their promises
		s.checkStored,     // the declared event types may follow the stored ones
		s.beginPartitions, // commit chains are whole and logs hold what they acknowledged (L5)
		s.openTally,       // what the log has is promised, and from here on what it acknowledges (A1)
		s.openPublisher,   // the newest publication, which says what batch answers for
		s.openSpeed,       // real-time views from a snapshot or from the oldest kept H (S5)
		s.openLanding,
		s.openIngest,
		s.openDeadLetters,
		s.openAPI,
		s.openJobs,
		s.listen,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Stack) openEngines(ctx context.Context) (err error) {
	if s.catalog, err = s.cfg.Catalog(); err != nil {
		return err
	}
	if len(s.catalog.Views) == 0 {
		s.log.Warn("no view is declared, so nothing is counted; pass a file with --config (the README shows one)")
	}
	if s.lock, err = lockDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	s.engines, err = openEngines(ctx, s.cfg, s.log, s.registry)
	return err
}

func (s *Stack) checkStored(ctx context.Context) error {
	return checkEvolution(ctx, s.engines.records, s.catalog)
}

func (s *Stack) beginPartitions(ctx context.Context) (err error) {
	dir := snapshotDir(s.cfg)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if s.marks, err = janitor.OpenMarks(dir, s.engines.log, s.log); err != nil {
		return err
	}
	c := janitor.Config{Snapshots: dir, LogName: filepath.Join(s.cfg.DataDir, "log"), Logger: s.log,
		Next: record.Next{Epoch: 1, Rule: s.cfg.Landing, Bucket: s.cfg.Bucket,
			Partitions: s.cfg.Log.Partitions}}
	s.chains, err = janitor.Begin(ctx, c, s.engines.log, s.engines.records, s.marks)
	return err
}

// snapshotDir holds what a restart of the speed layer begins with.
func snapshotDir(cfg Config) string { return filepath.Join(cfg.DataDir, "speed") }

// URL is the address of the HTTP API.
func (s *Stack) URL() string { return s.doors[0].url() }

// ClickHouse is the connection to the batch views.
func (s *Stack) ClickHouse() driver.Conn { return s.engines.sql }

// Run serves until ctx ends, then drains: first jobs and requests, so that nothing new is
// accepted, then the group commits, then the consumers of the log, then the engines.
func (s *Stack) Run(ctx context.Context) error {
	// Consumers live a little longer than the HTTP server, so that what was
	// acknowledged at the last moment is in their snapshots.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, gctx := errgroup.WithContext(work)
	for _, run := range s.runners() {
		g.Go(func() error { return run(gctx) })
	}
	if s.scheduler != nil {
		g.Go(func() error { return s.runJobs(ctx, gctx) })
	}
	g.Go(func() error {
		defer stopWork()
		return s.serve(ctx, gctx)
	})
	err := g.Wait()
	s.lastMarks()
	return errors.Join(err, s.close())
}

// lastMarks writes the marks once more, behind everything that was acknowledged.
func (s *Stack) lastMarks() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.marks.Advance(ctx); err != nil {
		s.log.Warn("the last high-water marks could not be written", "error", err)
	}
}

// runners are the loops of the process's roles.
func (s *Stack) runners() []func(context.Context) error {
	runs := []func(context.Context) error{s.marks.Run}
	if !s.roles.Has(Batch) {
		runs = append(runs, s.follow)
	}
	if s.keys != nil {
		runs = append(runs, s.keys.Run)
	}
	if s.ingest != nil {
		runs = append(runs, s.ingest.Run)
	}
	if s.views != nil {
		runs = append(runs, s.runViews, s.retain)
	}
	if s.lander != nil {
		runs = append(runs, s.runLander)
	}
	return runs
}

// runJobs ends jobs as soon as the process is told to end: a request that waits for a run
// would hold the other requests' drain up, and the next start does what was left (J1).
func (s *Stack) runJobs(ctx, work context.Context) error {
	work, stop := context.WithCancel(work)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return s.scheduler.Run(work)
}

// runLander keeps the process up when a partition has stopped with an alarm (C7):
// the others go on, and what was acknowledged stays readable.
func (s *Stack) runLander(ctx context.Context) error {
	if err := s.lander.Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("landing has stopped; answers stay right, but nothing new becomes exact", "error", err)
	}
	<-ctx.Done()
	return nil
}

// runViews keeps the process up when a partition of the real-time views has stopped:
// answers then take nothing from it and say so (Q2).
func (s *Stack) runViews(ctx context.Context) error {
	if err := s.views.Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("real-time views have stopped; answers are exact but older", "error", err)
	}
	<-ctx.Done()
	return nil
}

// close releases what Open took, in reverse order.
func (s *Stack) close() error {
	var errs []error
	for _, d := range s.doors {
		_ = d.listener.Close() // The server has usually closed it already.
	}
	if s.engines != nil {
		errs = append(errs, s.engines.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
