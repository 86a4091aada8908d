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

	"recount/schemas/openapi"
)

// Scheduler starts jobs by their schedules or on request. A job never runs twice at the same
// time: a start while it runs is skipped, which is harmless because jobs are level-triggered (J1).
type Scheduler struct {
	logger  *slog.Logger
	now     func() time.Time
	ledger  *Ledger
	entries []*entry
	metrics metrics

	mu sync.Mutex
	// requested counts the runs that Start began. mu is held to add one.
	requested sync.WaitGroup
	life      context.Context
	// end ends life when Run ends. mu is held, so that no run is added to requested afterwards.
	end context.CancelFunc
}

type entry struct {
	job Job
	// schedule is nil for a job that runs on request only.
	schedule cron.Schedule
	// mu is held while the job runs.
	mu sync.Mutex

	state   sync.Mutex
	running *Run
}

// Options are what the process passes to the scheduler and its jobs.
type Options struct {
	// Logger may be nil, which discards log lines.
	Logger *slog.Logger
	// Now may be nil, which means time.Now.
	Now        func() time.Time
	Registerer prometheus.Registerer
}

// withDefaults returns the options with a logger and a clock in the place of nil.
func (o Options) withDefaults() Options {
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
	o = o.withDefaults()
	s := &Scheduler{logger: o.Logger, now: o.Now, ledger: ledger, metrics: newMetrics(o.Registerer)}
	s.life, s.end = context.WithCancel(context.Background())
	for _, j := range jobs {
		e := &entry{job: j}
		if j.Schedule != "" {
			schedule, err := ParseSchedule(j.Schedule)
			if err != nil {
				return nil, fmt.Errorf("jobs.%s: %w", j.Name, err)
			}
			e.schedule = schedule
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

// Run starts jobs by their schedules until ctx ends. Then it ends the contexts of all runs,
// including requested runs, and waits for them.
func (s *Scheduler) Run(ctx context.Context) error {
	c := cron.New(cron.WithLocation(time.UTC), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	for _, e := range s.entries {
		if e.schedule != nil {
			c.Schedule(e.schedule, cron.FuncJob(func() { s.runScheduled(ctx, e) }))
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

func (s *Scheduler) runScheduled(ctx context.Context, e *entry) {
	if !e.mu.TryLock() {
		s.metrics.skipped.WithLabelValues(e.job.Name).Inc()
		return
	}
	defer e.mu.Unlock()
	s.execute(ctx, e, openapi.OnSchedule)
}

// Hasten runs the named job now, in the place of a later run by its schedule, and waits for its end. It reports whether
// the job ran: a job without a schedule runs on request only, and one that runs already may have read the stored facts
// before they changed, so the caller asks again.
func (s *Scheduler) Hasten(ctx context.Context, name string) bool {
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.job.Name == name })
	if i < 0 || s.entries[i].schedule == nil || !s.begin() {
		return false
	}
	defer s.requested.Done()
	e := s.entries[i]
	if !e.mu.TryLock() {
		return false
	}
	defer e.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	s.execute(ctx, e, openapi.OnSchedule)
	return true
}

// Start runs the named job now and waits for its end. It returns ErrRunning if the job is already
// running, and ErrUnknownJob for an unknown name. When the scheduler's Run ends, it ends this run
// too: Start then returns ErrStopped, and so does every later Start.
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
	run := s.execute(ctx, e, openapi.OnRequest)
	if run.Error != "" && s.life.Err() != nil {
		return run, ErrStopped
	}
	return run, nil
}

// begin reports whether the scheduler still runs. If so, Run waits for requested.Done before it ends.
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
	s.record(ctx, run)
	return run
}

// record writes the run to the ledger and logs it. A scheduled run that found nothing to do is not
// kept, because such runs would fill the ledger with a record every minute.
func (s *Scheduler) record(ctx context.Context, run Run) {
	attrs := []any{"job", run.Job, "seconds", run.End.Sub(run.Start).Seconds(), "rows", run.Rows, "publication",
		run.Publication}
	if run.Error != "" && ctx.Err() != nil {
		return // The process is stopping; the next start does the work.
	}
	if run.Error != "" {
		s.logger.Error("a job failed", append(attrs, "error", run.Error)...)
	} else {
		s.logger.Debug("a job succeeded", append(attrs, "message", run.Message)...)
	}
	if run.Error == "" && run.Rows == 0 && run.Trigger == openapi.OnSchedule {
		return
	}
	if err := s.ledger.Add(ctx, run); err != nil {
		s.logger.Warn("a run is not in the ledger: its record could not be written", "job", run.Job, "error", err)
	}
}

// protect turns a panic into an error, because one bad job must not end the process.
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

// List returns every job with its newest runs. A run that has not ended comes first.
func (s *Scheduler) List() []Status {
	out := make([]Status, 0, len(s.entries))
	for _, e := range s.entries {
		status := Status{Name: e.job.Name, Schedule: e.job.Schedule, Runs: s.ledger.Newest(e.job.Name)}
		if e.schedule != nil {
			status.Next = e.schedule.Next(s.now().UTC())
		}
		if r := e.current(); r != nil {
			status.Running = true
			status.Runs = append([]Run{*r}, status.Runs...)
		}
		out = append(out, status)
	}
	return out
}
