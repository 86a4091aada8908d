package server

import (
	"context"
	"time"

	"recount/batch/landing"
	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/speed/realtime"
)

func (s *Server) openJobs(ctx context.Context) error {
	if !s.roles.Has(Batch) {
		return nil
	}
	ledger, err := jobs.OpenLedger(ctx, s.engines.records, jobs.Names(), s.logger)
	if err != nil {
		return err
	}
	schedules := s.cfg.Jobs
	o := jobs.Options{Logger: s.logger, Now: failpoint.Now, Registerer: s.registry}
	rechecker := jobs.NewRechecker(s.recheck, o)
	s.auditor = jobs.NewAuditor(s.conserve, rechecker, o)
	all := []jobs.Job{
		jobs.Recompute(schedules.Recompute, s.publisher),
		jobs.Collect(schedules.Collect, s.publisher,
			s.checkpoint(landing.NewCheckpointer(s.engines.records, s.cfg.Log.Partitions, s.logger))),
		jobs.Expire(schedules.Expire, s.engines.log, s.publisher.CheckStored, s.needed, ledger, s.engines.lake,
			s.deadLetters.Retire),
		s.auditor.Job(schedules.Audit),
		rechecker.Job(schedules.Recheck),
	}
	if s.grader != nil {
		all = append(all, jobs.Score(schedules.Score, s.grader.Grade))
	}
	s.scheduler, err = jobs.NewScheduler(all, ledger, o)
	return err
}

// hastenEvery is the least time between two runs of recompute that new views start, and how soon one is tried again
// that could not start. A client that sends events of ever new types starts no more runs than this.
const hastenEvery = 2 * time.Second

// publishNewViews starts recompute when the catalog has a view that the newest publication lacks: queries are refused
// until a publication has it, and the schedule may be a minute away. There is one run for each generation. If it fails,
// or if recompute has no schedule, the view waits for the next run.
func (s *Server) publishNewViews(ctx context.Context) error {
	var done uint64 // the newest generation for which a run began
	for {
		changed := s.generations.Changed()
		g := s.generations.Current()
		if g.N > done && s.lacksView(g.Catalog) {
			if s.scheduler.Hasten(ctx, "recompute") {
				done = g.N
			}
			changed = nil // The next look is a while later.
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(hastenEvery): // A run that began before the change may have published meanwhile.
		}
	}
}

// lacksView reports whether the newest publication lacks a view. Before the first one, live answers have all.
func (s *Server) lacksView(c *catalog.Catalog) bool {
	state := s.publisher.State()
	for name := range c.Views {
		if _, found := state.Views[name]; !found && state.N > 0 {
			return true
		}
	}
	return false
}

// checkpoint makes checkpoints of the commit chains. With them a start need not read every record.
func (s *Server) checkpoint(k *landing.Checkpointer) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		chains, err := s.currentChains(ctx)
		if err != nil {
			return 0, err
		}
		return k.Make(ctx, chains)
	}
}

// needed returns the lowest sequence of each partition that the log must keep (L6), according to the
// shared records and to the views of this process.
func (s *Server) needed(ctx context.Context) ([]uint64, error) {
	chains, err := s.currentChains(ctx)
	if err != nil {
		return nil, err
	}
	var own []realtime.PartitionStatus
	if s.views != nil {
		own = s.views.Status()
	}
	bounds := janitor.Needed(s.publisher.OldestKept().H, chains, own)
	return bounds, s.ensureObjects(ctx, bounds)
}

// ensureObjects checks that the store has the objects of every message that is about to be trimmed.
// Only the log can rebuild an object that the store has lost (C8).
func (s *Server) ensureObjects(ctx context.Context, bounds []uint64) (err error) {
	first := make([]uint64, len(bounds))
	for p := range first {
		if first[p], _, err = s.engines.log.Bounds(ctx, p); err != nil {
			return err
		}
	}
	return s.publisher.EnsureObjects(ctx, first, bounds)
}
