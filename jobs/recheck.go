package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/openapi"
)

// Rechecker lets ClickHouse compute sampled buckets of the newest publication again (A4).
type Rechecker struct {
	check  func(context.Context) (openapi.Recheck, error)
	logger *slog.Logger
	now    func() time.Time
	last   atomic.Pointer[openapi.RecheckRun]

	checked     prometheus.Counter
	differences prometheus.Gauge
	ran         prometheus.Gauge
}

// NewRechecker returns a rechecker. check samples buckets and compares them.
func NewRechecker(check func(context.Context) (openapi.Recheck, error), o Options) *Rechecker {
	o = o.withDefaults()
	r := &Rechecker{check: check, logger: o.Logger, now: o.Now,
		checked: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_recheck_buckets_total",
			Help: "Buckets of views that ClickHouse has computed again from the Parquet objects."}),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_recheck_differing_rows",
			Help: "Published rows that differed from the computed ones at the last recheck. " +
				"Any value but 0 is an alarm."}),
		ran: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_recheck_last_run_timestamp_seconds",
			Help: "Unix time of the last recheck."}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(r.checked, r.differences, r.ran)
	}
	return r
}

// Job returns the job. A difference makes the run fail.
func (r *Rechecker) Job(schedule string) Job {
	return Job{Name: "recheck", Schedule: schedule, Run: r.run}
}

func (r *Rechecker) run(ctx context.Context) (Report, error) {
	result, err := r.check(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("recheck: %w", err)
	}
	if result.Differences == nil {
		result.Differences = []openapi.Difference{} // The API promises an array, also before the first publication.
	}
	at := r.now().UTC()
	r.last.Store(&openapi.RecheckRun{At: at, Recheck: result})
	r.checked.Add(float64(result.Checked))
	r.ran.Set(float64(at.UnixMicro()) / 1e6)
	rows := result.Differing()
	r.differences.Set(float64(rows))
	if rows > 0 {
		for _, d := range result.Differences {
			r.logger.Error("a published row differs from what ClickHouse computes from the objects", "view", d.View,
				"bucket", d.Bucket, "version", d.Version, "tenant", d.Tenant, "time", d.Time,
				"dimensions", d.Dimensions, "published", d.Published, "computed", d.Computed, "do", d.Remedy)
		}
		return Report{}, fmt.Errorf("publication %d differs in %s: GET /v1/audit names them, and recount verify "+
			"--server says which record, object or row is damaged", result.Publication, count(rows, "row"))
	}
	return Report{Publication: result.Publication, Message: fmt.Sprintf("compared views in %s with %s: "+
		"all equal what ClickHouse computes from the objects; left out %s",
		count(result.Checked, "bucket"), count(result.Rows, "row"), count(result.LeftOut, "bucket"))}, nil
}

// lastRun returns the last run with the differences of one tenant. An empty tenant means all
// tenants. It returns nil before the first run.
func (r *Rechecker) lastRun(tenant string) *openapi.RecheckRun {
	last := r.last.Load()
	if last == nil || tenant == "" {
		return last
	}
	filtered := *last
	filtered.Differences = slices.DeleteFunc(slices.Clone(last.Differences),
		func(d openapi.Difference) bool { return d.Tenant != tenant })
	return &filtered
}
