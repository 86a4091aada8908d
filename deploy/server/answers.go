package server

import (
	"context"
	"log/slog"

	"recount/schemas/failpoint"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/serving/reader"
	"recount/serving/scores"
)

func (s *Server) openAPI(ctx context.Context) error {
	var err error
	if s.batch, err = batchview.New(s.engines.sql, s.cfg.batchViews()); err != nil {
		return err
	}
	ac := s.cfg.Query
	ac.Fair = s.keys != nil // Without keys there is one tenant.
	// Streams leave connections for all other requests.
	connections := affordable(s.cfg.HTTP, slog.New(slog.DiscardHandler)).MaxConnections
	ac.Stream.Readers = min(ac.Stream.Readers, max(1, connections/2))
	rc := reader.Config{Catalog: s.generations, Publications: s.publisher, Batch: s.batch, OnGone: s.publisher.Suspect,
		Definition: s.publisher.Definition, Objects: s.objectsOf,
		CacheBytes: ac.Cache,
		Memory:     ac.Budget(), Now: failpoint.Now, Logger: s.logger, Registerer: s.registry}
	if s.views != nil {
		rc.Live = s.views
		rc.Reach = s.views.Reach
		rc.Known = s.views.Known
	}
	answers, err := reader.New(rc)
	if err != nil {
		return err
	}
	if s.views != nil && s.roles.Has(Batch) {
		s.grader = scores.NewGrader(s.publisher, s.cfg.Log.Partitions,
			scores.DefaultConfig(s.generations, s.batch, s.views).Run, s.logger, s.registry)
	}
	events, err := s.explanations(rc.Memory)
	if err != nil {
		return err
	}
	parts := api.Parts{
		Catalog: s.generations, Grade: s.grader.Last, Answerer: answers, Publications: s.publisher,
		Changes: answers, Authenticate: s.authenticate(),
		Declarations: s.declarations(),
		DeadLetters:  servedDeadLetters{s.deadLetters, s.ingest}, Events: events,
		MinThrough: s.setMinThrough,
		Now:        failpoint.Now, Admit: s.quotas.Query, Cap: s.cardinality, Logger: s.logger, Registerer: s.registry,
		OnRequest: s.cfg.Jobs.Recompute == "", Checks: s.checks(), NeedsRestart: s.engines.needsRestart,
		Version: Version(),
	}
	if s.ingest != nil {
		parts.Ingest = s.ingest.Handler()
	}
	if err := s.openStatements(ctx, &parts, answers, rc.Memory); err != nil {
		return err
	}
	s.api, err = api.New(ac, parts)
	return err
}
