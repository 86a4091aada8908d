package server

import (
	"context"

	"recount/batch/landing"
	"recount/deploy/server/janitor"
	"recount/jobs"
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
