package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/batch/publish"
	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/serving/reader"
	"recount/serving/scores"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

// openPublisher loads the newest publication. Every role needs it: it says what the
// batch view answers for, and so what speed must keep and the log may forget.
func (s *Stack) openPublisher(ctx context.Context) (err error) {
	pc := s.cfg.publisher(s.catalog)
	pc.Rebuild = s.rebuild
	pc.GiveWay = s.giveWay
	pc.Code = Version()
	pc.Logger = s.log
	pc.Registerer = s.registry
	pc.Now = failpoint.Now
	s.publisher, err = publish.New(pc, s.engines.records, s.engines.lake, cells.NewStore(s.engines.sql, s.catalog),
		s.currentChains, s.openObject)
	if err != nil {
		return err
	}
	s.publisher.Suspect() // ClickHouse may have lost rows while nobody ran.
	return s.publisher.Start(ctx)
}

// currentChains are the commit chains as the store has them now. The lander's are a start
// and no more: another owner may have landed what this one has not read, and an object
// whose record was not read would look like one in no record (C8).
func (s *Stack) currentChains(ctx context.Context) ([]*record.Chain, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	chains := s.chains
	if s.lander != nil {
		chains = s.lander.Chains()
	}
	out := make([]*record.Chain, len(chains))
	for i, c := range chains {
		if err := landing.Extend(ctx, s.engines.records, c); err != nil {
			return nil, fmt.Errorf("partition %d: %w", c.Partition, err)
		}
		there := *c
		out[i] = &there
	}
	return out, nil
}

// longestGiving bounds one wait of giveWay; a chunk of rows is far less work.
const longestGiving = 20 * time.Millisecond

// giveWay lets the batch engine rest as long as it worked while events come in: a client
// waits for its acknowledgement, and nobody for a recompute. With every processor busy
// with batch work a request waits for one at every goroutine it passes. PROOF.md has what
// it is worth; the price is that a recompute under load takes up to twice as long.
func (s *Stack) giveWay(worked time.Duration) {
	if s.ingest != nil && s.ingest.Busy() {
		time.Sleep(min(worked, longestGiving))
	}
}

// rebuild puts a lost object back from the log (C8).
func (s *Stack) rebuild(ctx context.Context, o record.Object) error {
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

// openObject opens a committed object for the batch engine. The first time in this
// process its digest is compared with the record's: objects are immutable, and
// reading one whole at every run would double the work.
func (s *Stack) openObject(ctx context.Context, o record.Object) (exact.File, error) {
	r, err := s.engines.lake.Open(ctx, o.Key)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	if _, seen := s.verified.Load(o.Key); !seen {
		if err := object.Verify(ctx, o, r); err != nil {
			return nil, fmt.Errorf("object %s: %w", o.Key, err)
		}
		s.verified.Store(o.Key, struct{}{})
	}
	f, err := object.Open(ctx, o, r)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	return f, nil
}

func (s *Stack) openSpeed(ctx context.Context) error {
	if !s.roles.Has(Speed) {
		return nil
	}
	rc := s.cfg.realtime()
	rc.Logger = s.log
	rc.Registerer = s.registry
	oldest := s.publisher.OldestKept()
	starts := make([]realtime.PartitionStart, len(s.chains))
	for p, chain := range s.chains {
		var err error
		if starts[p], err = janitor.Start(ctx, s.engines.log, chain, oldest.H[p]); err != nil {
			return err
		}
	}
	var err error
	s.views, err = realtime.Open(rc, s.catalog, starts, source{s.engines.log})
	return err
}

// retainEvery is how soon after a publication the speed layer lets go of what
// fell behind the oldest kept one.
const retainEvery = 500 * time.Millisecond

// retain tells the speed layer what the oldest kept publication is (S3), and of epochs that
// other owners began.
func (s *Stack) retain(ctx context.Context) error {
	renewal := janitor.Renewal{Log: s.engines.log, Marks: s.marks, Views: s.views, Chains: s.currentChains}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.views.Retain(s.publisher.OldestKept().H); err != nil {
				s.log.Error("the speed layer and the publications disagree about a cut", "error", err)
			}
			seen := [][]position.Offset{s.publisher.State().H}
			if s.lander != nil {
				seen = append(seen, s.lander.Heads())
			}
			if _, err := renewal.Renew(ctx, s.publisher.OldestKept().H, seen...); err != nil && ctx.Err() == nil {
				s.log.Error("the speed layer cannot follow a new epoch", "error", err)
			}
		}
	}
}

func (s *Stack) openLanding(context.Context) (err error) {
	if !s.roles.Has(Landing) {
		return nil
	}
	// Partitions are cut at about the same time; encoding takes half of the processors at
	// most, for the reason giveWay gives.
	encoders := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	lc := landing.Config{Logger: s.log, Registerer: s.registry, Now: failpoint.Now,
		Encode: func(t *object.Table) ([]byte, record.Object, error) {
			encoders <- struct{}{}
			defer func() { <-encoders }()
			return t.Encode()
		}}
	s.lander, err = landing.New(lc, s.chains, source{s.engines.log}, s.engines.records, s.engines.lake)
	return err
}

func (s *Stack) openIngest(context.Context) (err error) {
	if !s.roles.Has(Ingest) {
		return nil
	}
	ic := s.cfg.Ingest
	epochs := make([]uint32, len(s.chains))
	for p, c := range s.chains {
		epochs[p] = c.Head.Epoch
	}
	ic.Fair = s.keys != nil // Without keys there is one tenant.
	s.ingest, err = ingest.New(ic, s.catalog, s.cfg.Log.Partitions, s.engines.log,
		ingest.Options{Epochs: epochs, Acknowledged: s.tally.acknowledged, Now: failpoint.Now, Admit: s.quotas.Ingest,
			Logger: s.log, Registerer: s.registry})
	return err
}

func (s *Stack) openAPI(context.Context) error {
	var err error
	if s.batch, err = batchview.New(s.engines.sql, s.cfg.batchViews()); err != nil {
		return err
	}
	rc := reader.Config{Catalog: s.catalog, Publications: s.publisher, Batch: s.batch, OnGone: s.publisher.Suspect,
		Now: failpoint.Now, Logger: s.log, Registerer: s.registry}
	if s.views != nil {
		rc.Live = s.views
	}
	answers, err := reader.New(rc)
	if err != nil {
		return err
	}
	ac := s.cfg.Query
	ac.Fair = s.keys != nil // Without keys there is one tenant.
	if s.views != nil && s.roles.Has(Batch) {
		s.grader = scores.NewGrader(s.publisher, s.cfg.Log.Partitions,
			scores.DefaultConfig(s.catalog, s.batch, s.views).Run, s.log, s.registry)
	}
	s.api, err = api.New(ac, api.Parts{
		Catalog: s.catalog, Grade: s.grader.Last, Answerer: answers, Publications: s.publisher,
		DeadLetters: servedLetters{s.letters, s.ingest},
		Admit:       s.quotas.Query, Cap: s.capOf, Logger: s.log, Registerer: s.registry,
		Checks: []api.Check{{Name: "log", Check: s.checkLog}, {Name: "audit", Check: s.checkTally},
			{Name: "landing", Check: s.checkLanding}, {Name: "real-time views", Check: s.checkViews}},
	})
	return err
}

func (s *Stack) checkLog(context.Context) error { return s.engines.log.Healthy() }

// checkTally says which partitions hold messages that nobody can read.
func (s *Stack) checkTally(context.Context) error { return s.tally.readable() }

// checkLanding says which partitions have stopped landing: their log fills until it is full.
func (s *Stack) checkLanding(context.Context) error {
	if s.lander == nil {
		return nil
	}
	return s.lander.Stopped()
}

// checkViews says which partitions of the real-time views have stopped.
func (s *Stack) checkViews(context.Context) error {
	if s.views == nil {
		return nil
	}
	var errs []error
	for _, st := range s.views.Status() {
		if st.Failed != nil {
			errs = append(errs, fmt.Errorf("partition %d has stopped: %w", st.Partition, st.Failed))
		}
	}
	return errors.Join(errs...)
}

func (s *Stack) openJobs(ctx context.Context) error {
	if !s.roles.Has(Batch) {
		return nil
	}
	ledger, err := jobs.OpenLedger(ctx, s.engines.records, jobs.Names(), s.log)
	if err != nil {
		return err
	}
	schedules := s.cfg.Jobs
	o := jobs.Options{Logger: s.log, Now: failpoint.Now, Registerer: s.registry}
	rechecker := jobs.NewRechecker(s.recheck, o)
	s.auditor = jobs.NewAuditor(s.conserve, rechecker, o)
	all := []jobs.Job{
		jobs.Recompute(schedules.Recompute, s.publisher),
		jobs.Collect(schedules.Collect, s.publisher,
			s.checkpoint(landing.NewCheckpointer(s.engines.records, s.cfg.Log.Partitions, s.log))),
		jobs.Expire(schedules.Expire, s.engines.log, s.needed, ledger, s.engines.lake, s.letters.Retire),
		s.auditor.Job(schedules.Audit),
		rechecker.Job(schedules.Recheck),
	}
	if s.grader != nil {
		all = append(all, jobs.Score(schedules.Score, s.grader.Grade))
	}
	s.scheduler, err = jobs.NewScheduler(all, ledger, o)
	return err
}

// checkpoint makes checkpoints of the commit chains, so that a start need not read every record.
func (s *Stack) checkpoint(k *landing.Checkpointer) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		chains, err := s.currentChains(ctx)
		if err != nil {
			return 0, err
		}
		return k.Make(ctx, chains)
	}
}

// needed is what the log must keep (L6), as far as records and the process's own views say.
func (s *Stack) needed(ctx context.Context) ([]uint64, error) {
	chains, err := s.currentChains(ctx)
	if err != nil {
		return nil, err
	}
	var own []realtime.PartitionStatus
	if s.views != nil {
		own = s.views.Status()
	}
	bounds := janitor.Needed(s.publisher.OldestKept().H, chains, own)
	return bounds, s.secure(ctx, bounds)
}

// secure looks for the objects of what is about to be trimmed: the log alone could put one
// back that the store has lost (C8).
func (s *Stack) secure(ctx context.Context, bounds []uint64) (err error) {
	first := make([]uint64, len(bounds))
	for p := range first {
		if first[p], _, err = s.engines.log.Bounds(ctx, p); err != nil {
			return err
		}
	}
	return s.publisher.EnsureObjects(ctx, first, bounds)
}

// followEvery is how soon a process that does not publish itself sees a publication.
const followEvery = time.Second

func (s *Stack) follow(ctx context.Context) error { return s.publisher.Follow(ctx, followEvery) }
