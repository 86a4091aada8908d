package jobs

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"
)

// Scheduler starts jobs by their schedules or on request. A job never runs twice at
// once: a start while it runs is skipped, because jobs are level-triggered (J1).
type Scheduler struct {
	log     *slog.Logger
	now     func() time.Time
	ledger  *Ledger
	entries []*entry
	metrics metrics

	mu        sync.Mutex
	requested sync.WaitGroup // runs that Start began; mu is held to add one
	life      context.Context
	end       context.CancelFunc // ends life with Run; mu is held, so nothing is added behind
}

type entry struct {
	job   Job
	sched cron.Schedule // nil without a schedule
	mu    sync.Mutex    // held while the job runs

	state   sync.Mutex
	running *Run
}

// Options are what scheduler and jobs are given by the process they run in.
type Options struct {
	Logger     *slog.Logger     // nil discards
	Now        func() time.Time // nil: time.Now
	Registerer prometheus.Registerer
}

// filled are the options with what nil stands for.
func (o Options) filled() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// NewScheduler checks every schedule and returns a scheduler over the jobs.
func NewScheduler(jobs []Job, ledger *Ledger, o Options) (*Scheduler, error) {
	o = o.filled()
	s := &Scheduler{log: o.Logger, now: o.Now, ledger: ledger, metrics: newMetrics(o.Registerer)}
	s.life, s.end = context.WithCancel(context.Background())
	for _, j := range jobs {
		e := &entry{job: j}
		if j.Schedule != "" {
			sched, err := ParseSchedule(j.Schedule)
			if err != nil {
				return nil, fmt.Errorf("jobs.%s: %w", j.Name, err)
			}
			e.sched = sched
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

// Run starts jobs by their schedules until ctx ends, then waits for the running
// ones, requested ones too, whose context has ended with it.
func (s *Scheduler) Run(ctx context.Context) error {
	c := cron.New(cron.WithLocation(time.UTC), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	for _, e := range s.entries {
		if e.sched != nil {
			c.Schedule(e.sched, cron.FuncJob(func() { s.scheduled(ctx, e) }))
		}
	}
	c.Start()
	<-ctx.Done()
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	<-c.Stop().Done()
	s.requested.Wait()
	return nil
}

func (s *Scheduler) scheduled(ctx context.Context, e *entry) {
	if !e.mu.TryLock() {
		s.metrics.skipped.WithLabelValues(e.job.Name).Inc()
		return
	}
	defer e.mu.Unlock()
	s.execute(ctx, e, OnSchedule)
}

// Start runs the named job now and waits for its end. A job that is running already is
// ErrRunning, a name nobody knows ErrUnknownJob. When Run ends, so does the run: it is
// ErrStopped then, as is a start behind that.
func (s *Scheduler) Start(ctx context.Context, name string) (Run, error) {
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.job.Name == name })
	if i < 0 {
		return Run{}, fmt.Errorf("%w: %q", ErrUnknownJob, name)
	}
	if !s.begin() {
		return Run{}, ErrStopped
	}
	defer s.requested.Done()
	e := s.entries[i]
	if !e.mu.TryLock() {
		return Run{}, fmt.Errorf("%w: %s", ErrRunning, name)
	}
	defer e.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	run := s.execute(ctx, e, OnRequest)
	if run.Error != "" && s.life.Err() != nil {
		return run, ErrStopped
	}
	return run, nil
}

// begin reports whether Run has not ended, and has its end wait for requested.Done.
func (s *Scheduler) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.requested.Add(1)
	return true
}

// execute runs the job and records the run. e.mu must be held.
func (s *Scheduler) execute(ctx context.Context, e *entry, by Trigger) Run {
	run := Run{ID: rand.Text()[:12], Job: e.job.Name, Trigger: by, Start: s.now().UTC()}
	e.setRunning(&run)
	report, err := protect(ctx, e.job.Run)
	run.Report = report
	run.End = s.now().UTC()
	if err != nil {
		run.Error = err.Error()
	}
	e.setRunning(nil)
	s.metrics.observe(run)
	s.note(ctx, run)
	return run
}

// note writes the run to the ledger and the log. Runs that found nothing to do
// would fill the ledger with one record a minute for ever, so they are not kept.
func (s *Scheduler) note(ctx context.Context, run Run) {
	attrs := []any{"job", run.Job, "seconds", run.End.Sub(run.Start).Seconds(), "rows", run.Rows, "publication",
		run.Publication}
	if run.Error != "" && ctx.Err() != nil {
		return // The process is stopping; the next start does the work.
	}
	if run.Error != "" {
		s.log.Error("job failed", append(attrs, "error", run.Error)...)
	} else {
		s.log.Debug("job done", append(attrs, "message", run.Message)...)
	}
	if run.Error == "" && run.Rows == 0 && run.Trigger == OnSchedule {
		return
	}
	if err := s.ledger.Add(ctx, run); err != nil {
		s.log.Warn("job ledger", "job", run.Job, "error", err)
	}
}

// protect turns a panic into an error: one bad job must not end the process.
func protect(ctx context.Context, run func(context.Context) (Report, error)) (r Report, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}

func (e *entry) setRunning(r *Run) {
	e.state.Lock()
	defer e.state.Unlock()
	e.running = r
	if r != nil {
		c := *r
		e.running = &c
	}
}

func (e *entry) current() *Run {
	e.state.Lock()
	defer e.state.Unlock()
	return e.running
}

// List returns every job with its newest runs, the running one first.
func (s *Scheduler) List() []Status {
	out := make([]Status, 0, len(s.entries))
	for _, e := range s.entries {
		st := Status{Name: e.job.Name, Schedule: e.job.Schedule, Runs: s.ledger.Newest(e.job.Name)}
		if e.sched != nil {
			st.Next = e.sched.Next(s.now().UTC())
		}
		if r := e.current(); r != nil {
			st.Running = true
			st.Runs = append([]Run{*r}, st.Runs...)
		}
		out = append(out, st)
	}
	return out
}
