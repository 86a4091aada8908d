package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/recheck"
)

// Rechecker has ClickHouse compute sampled buckets of the newest publication again (A4).
type Rechecker struct {
	check func(context.Context) (recheck.Result, error)
	log   *slog.Logger
	now   func() time.Time
	last  atomic.Pointer[RecheckRun]

	checked     prometheus.Counter
	differences prometheus.Gauge
	ran         prometheus.Gauge
}

// RecheckRun is a check and when it was.
type RecheckRun struct {
	At time.Time `json:"at"`
	recheck.Result
}

// NewRechecker returns a rechecker. check samples and compares.
func NewRechecker(check func(context.Context) (recheck.Result, error), o Options) *Rechecker {
	o = o.filled()
	r := &Rechecker{check: check, log: o.Logger, now: o.Now,
		checked: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_recheck_buckets_total",
			Help: "Buckets of views that ClickHouse has computed again from the Parquet objects."}),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_recheck_differing_rows",
			Help: "Rows that differed from the published ones at the last check; anything but 0 is an alarm."}),
		ran: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_recheck_last_run_seconds",
			Help: "Unix time of the last check."}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(r.checked, r.differences, r.ran)
	}
	return r
}

// Job returns the job. A difference fails its run.
func (r *Rechecker) Job(schedule string) Job {
	return Job{Name: "recheck", Schedule: schedule, Run: r.run}
}

func (r *Rechecker) run(ctx context.Context) (Report, error) {
	result, err := r.check(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("recheck: %w", err)
	}
	if result.Differences == nil {
		result.Differences = []recheck.Difference{} // Where there is nothing to check yet; the contract knows no null.
	}
	at := r.now().UTC()
	r.last.Store(&RecheckRun{At: at, Result: result})
	r.checked.Add(float64(result.Checked))
	r.ran.Set(float64(at.UnixMicro()) / 1e6)
	rows := result.Differing()
	r.differences.Set(float64(rows))
	if rows > 0 {
		for _, d := range result.Differences {
			r.log.Error("a published row is not what ClickHouse computes from the objects", "view", d.View, "bucket",
				d.Bucket, "version", d.Version,
				"tenant", d.Tenant, "time", d.Time, "dimensions", d.Dimensions, "published", d.Published, "computed",
				d.Computed, "do", d.Do)
		}
		return Report{}, fmt.Errorf("%d rows of publication %d differ: GET /v1/audit names them, recount verify "+
			"--server says what is at fault", rows, result.Publication)
	}
	return Report{Publication: result.Publication, Message: fmt.Sprintf("%d buckets of views with %d rows are what "+
		"ClickHouse computes from the objects, %d left out", result.Checked, result.Rows, result.LeftOut)}, nil
}

// of is what the last run came to, with the rows of one tenant or, without one, of all.
func (r *Rechecker) of(tenant string) *RecheckRun {
	last := r.last.Load()
	if last == nil || tenant == "" {
		return last
	}
	own := *last
	own.Differences = slices.DeleteFunc(slices.Clone(own.Differences),
		func(d recheck.Difference) bool { return d.Tenant != tenant })
	return &own
}
