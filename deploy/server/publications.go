package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recount/batch/cells"
	"recount/batch/landing"
	"recount/batch/publish"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// openPublisher loads the newest publication. Every role needs it: H says which events the batch
// view answers for, and so which events speed must hold and the log may drop.
func (s *Server) openPublisher(ctx context.Context) (err error) {
	pc := s.cfg.publisher(s.catalog)
	pc.Installation = s.installation.ID
	pc.Rebuild = s.rebuild
	pc.GiveWay = s.giveWay
	pc.Code = Version()
	pc.Logger = s.logger
	pc.Registerer = s.registry
	pc.Now = failpoint.Now
	pc.Runs = s.newestRun
	pc.Newest = s.newestGeneration
	s.publisher, err = publish.New(pc, s.engines.records, s.engines.lake, cells.NewStore(s.engines.sql, s.catalog),
		s.currentChains, s.openObject)
	if err != nil {
		return err
	}
	s.publisher.Suspect() // ClickHouse may have lost rows while no process looked.
	return s.publisher.Start(ctx)
}

// newestGeneration reads the catalog on, and returns its newest generation.
func (s *Server) newestGeneration(ctx context.Context) (uint64, *catalog.Catalog, error) {
	err := s.generations.Refresh(ctx)
	g := s.generations.Current()
	return g.N, g.Catalog, err
}

// newestRun returns the highest publication that a run of the job recompute names, and the run's name (P2).
func (s *Server) newestRun(ctx context.Context) (n uint64, name string, err error) {
	return jobs.NewestPublication(ctx, s.engines.records)
}

// longestPause bounds one pause of giveWay. One chunk of rows takes far less time.
const longestPause = 20 * time.Millisecond

// giveWay makes the batch engine pause for as long as it worked, while ingest is busy. With every
// processor busy with batch work, a request waits for a processor at each goroutine it passes. A
// client waits for its acknowledgement, but no client waits for a recompute. The price is that a
// recompute under load takes up to twice as long; PROOF.md has the measured gain.
func (s *Server) giveWay(worked time.Duration) {
	if s.ingest != nil && s.ingest.Busy() {
		time.Sleep(min(worked, longestPause))
	}
}

// rebuild writes a lost object again from the log (C8).
func (s *Server) rebuild(ctx context.Context, o record.Object) error {
	chains, err := s.currentChains(ctx)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		for _, c := range chain.Segments {
			if slices.ContainsFunc(c.Objects, func(have record.Object) bool { return have.Key == o.Key }) {
				return landing.Rebuild(ctx, source{s.engines.log}, s.engines.lake, c, o.Key,
					chain.Bucket)
			}
		}
	}
	return fmt.Errorf("no commit record names object %s", o.Key)
}

// followEvery is how soon a process without the batch role sees a publication.
const followEvery = time.Second

// follow looks for new publications of other processes, or for missing ones that an operator has put back. A process
// that publishes itself finds those of others when it publishes.
func (s *Server) follow(ctx context.Context) error {
	if s.roles.Has(Batch) {
		return s.publisher.AwaitRepair(ctx, followEvery)
	}
	return s.publisher.Follow(ctx, followEvery)
}
