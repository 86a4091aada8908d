package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"recount/batch/deadletters"
	"recount/batch/explain"
	"recount/batch/iceberg"
	"recount/batch/landing"
	"recount/batch/publish"
	"recount/deploy/server/feed"
	"recount/deploy/server/generations"
	"recount/deploy/server/janitor"
	"recount/deploy/server/keys"
	"recount/deploy/server/quota"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/durable"
	"recount/schemas/record"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/serving/scores"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

// Options say how a process runs its server.
type Options struct {
	Roles  Roles
	Logger *slog.Logger // nil discards
	// Registry receives the metrics of all components, and /metrics shows them. Nil means a new registry.
	Registry Registry
	Replace  Replace
}

// Replace says which parts that are lost for ever may be replaced.
type Replace struct {
	// Log lets a new, empty log take the place of the one that the installation had (L8). Events that had not landed
	// are given up.
	Log bool
	// Catalog lets the newest generation of the catalog that is stored take the place of later ones (G1). What these
	// declared is given up.
	Catalog bool
}

// Registry is where a process registers its metrics and gathers them.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Server is the engines, roles and HTTP doors of one running process.
type Server struct {
	cfg      Config
	roles    Roles
	logger   *slog.Logger
	registry Registry
	replace  Replace
	lock     *durable.Held
	made     []string // folders that this start has made; nil once an installation refers to them

	installation *record.Installation
	engines      *engines
	declared     *catalog.Catalog // by the configuration
	generations  *generations.Chain
	namedBefore  generations.Named // what named the highest generation when this process began
	catalog      *catalog.Catalog  // of the generation with which this process began
	marks        *janitor.Marks
	feed         *feed.Feed          // of the log, for landing and the real-time views
	tally        *tally              // nil without the ingest role
	chains       []*record.Chain     // as read at start; currentChains extends them where there is no lander
	reading      sync.Mutex          // held while chains are extended
	verified     sync.Map            // keys of the objects whose digests were compared
	held         *semaphore.Weighted // bytes of the objects that the batch engine may hold in memory
	progress     progress            // of the start

	publisher   *publish.Publisher
	views       *realtime.Views
	lander      *landing.Lander
	ingest      *ingest.Server
	deadLetters *deadletters.Store
	tables      *iceberg.Writer // nil unless this process writes the Iceberg tables
	batch       *batchview.Views
	api         *api.API
	explained   *explain.Store
	auditor     *jobs.Auditor
	grader      *scores.Grader // nil unless this process has both the batch and the speed role
	scheduler   *jobs.Scheduler

	keys   *keys.Watcher // nil without a keys file
	quotas *quota.Quotas
	doors  []*door // the public door is first
	// sqlDoor is nil without sql.listen.
	sqlDoor *door
}

// Open starts every part after the parts it depends on, and listens last. Nothing is accepted before Run.
func Open(ctx context.Context, cfg Config, o Options) (_ *Server, err error) {
	s := &Server{cfg: cfg, roles: o.Roles, logger: o.Logger, registry: o.Registry, replace: o.Replace,
		// The batch engine and the rows that wait for ClickHouse leave an eighth of the memory (publish.Config).
		held: semaphore.NewWeighted(cfg.Batch.Memory / 8)}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	s.progress.logger = s.logger
	for _, step := range []struct {
		waits string // what the step may wait for
		run   func(context.Context) error
	}{
		{"read the files that the configuration names", s.checkStart}, // what recount config check runs too
		{"read the keys", s.openKeys},
		// The next step locks data_dir and probes what the log, the lake and ClickHouse promise.
		{"open the object store, ClickHouse and the log", s.openEngines},
		{"compare the log, the object store and ClickHouse", s.openInstallation}, // do they belong together? (I8, L8)
		{"compare the configuration with what is stored", s.checkStored},
		{"read the catalog", s.openCatalog}, // and apply what the configuration declares (G2)
		// H of the newest publication splits batch from speed, and no chain may be sealed below it (C10).
		{"read the publications", s.openPublisher},
		// The next step checks that chains are whole and logs hold what they acknowledged (L5).
		{"read the commit chains", s.beginPartitions},
		{"count the events of the log", s.openTally}, // before ingest adds to them (A1)
		{"read the snapshots", s.openSpeed},          // of the real-time views (S5)
		{"open landing", s.openLanding},
		{"open ingest", s.openIngest},
		{"open the dead letters", s.openDeadLetters},
		{"open the Iceberg tables", s.openTables},
		{"open the API", s.openAPI},
		{"open the jobs", s.openJobs},
		{"listen", s.listen},
	} {
		stop := s.progress.watch(step.waits)
		err := step.run(ctx)
		stop()
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// checkStart runs what needs no engine. Nothing before openEngines changes anything outside this process.
func (s *Server) checkStart(context.Context) (err error) {
	if s.declared, err = s.cfg.CheckStart(); err != nil {
		return err
	}
	return s.cfg.checkDoors()
}

func (s *Server) openEngines(ctx context.Context) (err error) {
	if len(s.declared.Views) == 0 && !s.cfg.Discovers() {
		s.logger.Warn("no view is declared in a file, so nothing is counted but by views that are stored already; " +
			"declare one in a file and pass it with --config")
	}
	if alone := s.cfg.embedded(); len(alone) > 0 && s.roles != AllRoles {
		s.logger.Warn("no other process can use an embedded engine, so no process plays the other roles over it; play "+
			"all roles, or name engines that processes share", "embedded", alone, "missing_roles",
			(AllRoles &^ s.roles).Names())
	}
	missing := missingFolders(s.cfg.DataDir)
	if s.lock, err = lockDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	s.made = keepMissing(missing, s.cfg.DataDir)
	if s.engines, err = openEngines(ctx, s.cfg, s.logger, s.registry); err != nil {
		return err
	}
	if s.roles.Has(Serving) { // No other role asks ClickHouse whether it answers.
		s.registry.MustRegister(s.engines.probe.collector())
	}
	return nil
}

func (s *Server) checkStored(ctx context.Context) error { return checkSameData(ctx, s.cfg, s.engines) }

func (s *Server) beginPartitions(ctx context.Context) (err error) {
	dir := snapshotDir(s.cfg)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if s.marks, err = janitor.OpenMarks(dir, s.engines.log, s.logger); err != nil {
		return err
	}
	s.chains, err = janitor.Begin(ctx, s.janitor(), s.engines.log, s.engines.records, s.marks)
	return err
}

func (s *Server) janitor() janitor.Config {
	return janitor.Config{Published: s.publisher.Published, Snapshots: snapshotDir(s.cfg),
		LogName: filepath.Join(s.cfg.DataDir, "log"), Logger: s.logger,
		Next: record.Next{Epoch: 1, Rule: s.cfg.Landing, Bucket: s.cfg.Bucket, Partitions: s.cfg.Log.Partitions,
			Installation: s.installation.ID, Log: s.engines.log.ID()}, FirstLog: s.installation.Log}
}

// snapshotDir is the folder from which a restarted speed layer begins: snapshots and high-water marks.
func snapshotDir(cfg Config) string { return filepath.Join(cfg.DataDir, "speed") }

// URL is the address of the HTTP API.
func (s *Server) URL() string { return s.doors[0].url() }

// ClickHouse is the connection to the batch views.
func (s *Server) ClickHouse() driver.Conn { return s.engines.sql }

// Run serves until ctx ends and then drains. Jobs and requests end first, so that nothing new is
// accepted. The consumers of the log end next, and the engines last.
func (s *Server) Run(ctx context.Context) error {
	// The consumers of the log outlive the HTTP server, so that their last snapshots hold the
	// events that were acknowledged last.
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

// lastMarks writes the high-water marks once more, after the last event was acknowledged.
func (s *Server) lastMarks() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.marks.Advance(ctx); err != nil {
		s.logger.Warn("the last high-water marks could not be written; the next start remembers a little less of the "+
			"log", "error", err)
	}
}

// runners are the loops of the process's roles.
func (s *Server) runners() []func(context.Context) error {
	runs := []func(context.Context) error{s.marks.Run, s.follow}
	if s.generations != nil {
		runs = append(runs, s.generations.Run)
	}
	if s.generations != nil && s.scheduler != nil {
		runs = append(runs, s.publishNewViews)
	}
	if s.keys != nil {
		runs = append(runs, s.keys.Run)
	}
	if s.engines != nil && s.engines.probe != nil && s.roles.Has(Serving) {
		runs = append(runs, s.engines.probe.run)
	}
	if s.ingest != nil {
		runs = append(runs, s.ingest.Run)
	}
	if s.views != nil {
		runs = append(runs, s.runViews, s.retain, s.followLog)
	}
	if s.lander != nil {
		runs = append(runs, s.runLander)
	}
	if s.tables != nil {
		runs = append(runs, s.tables.Run)
	}
	return runs
}

// runJobs ends the jobs as soon as ctx ends. A request that waits for a run would otherwise delay
// the drain, and the next start finishes what was left (J1).
func (s *Server) runJobs(ctx, work context.Context) error {
	work, stop := context.WithCancel(work)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return s.scheduler.Run(work)
}

// runLander keeps the process up when the landing of a partition has stopped with an alarm (C7).
// The other partitions continue, and acknowledged events stay readable. A process whose log was replaced
// ends, because what it accepts would never count.
func (s *Server) runLander(ctx context.Context) error {
	err := s.lander.Run(ctx)
	if errors.Is(err, landing.ErrReplaced) {
		return fmt.Errorf("another process uses this object store with another log (L8): %w", err)
	}
	if err != nil && ctx.Err() == nil {
		s.logger.Error("landing has stopped: answers stay right, but no new event becomes exact", "error", err)
	}
	<-ctx.Done()
	return nil
}

// runViews keeps the process up when a partition of the real-time views has stopped. Answers then
// leave out its live part and say so (Q2).
func (s *Server) runViews(ctx context.Context) error {
	if err := s.views.Run(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error("the real-time views have stopped: answers are exact but older", "error", err)
	}
	<-ctx.Done()
	return nil
}

// close releases what Open opened, in reverse order.
func (s *Server) close() error {
	var errs []error
	for _, d := range s.doors {
		_ = d.listener.Close() // The HTTP server has usually closed it already.
	}
	if s.batch != nil {
		s.batch.Close()
	}
	if s.engines != nil {
		errs = append(errs, s.engines.close())
	}
	if s.lock != nil {
		errs = append(errs, s.removeMade(), s.lock.Close())
	}
	return errors.Join(errs...)
}
