package jobs

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	runs    *prometheus.CounterVec
	skipped *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	last    *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_job_runs_total",
			Help: "Ended runs of a job, by outcome."}, []string{"job", "outcome"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_job_skipped_total",
			Help: "Scheduled starts that were skipped because the job was still running."}, []string{"job"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "recount_job_seconds",
			Help:    "Duration of the runs of a job.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)}, []string{"job"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_job_last_success_timestamp_seconds",
			Help: "Unix time at which a run of the job last succeeded."}, []string{"job"}),
	}
	for _, job := range Names() { // A counter that begins with its first failure has no increase.
		m.runs.WithLabelValues(job, "failed")
		m.runs.WithLabelValues(job, "succeeded")
	}
	if reg != nil {
		reg.MustRegister(m.runs, m.skipped, m.seconds, m.last)
	}
	return m
}

func (m metrics) observe(r Run) {
	m.seconds.WithLabelValues(r.Job).Observe(r.End.Sub(r.Start).Seconds())
	if r.Error != "" {
		m.runs.WithLabelValues(r.Job, "failed").Inc()
		return
	}
	m.runs.WithLabelValues(r.Job, "succeeded").Inc()
	m.last.WithLabelValues(r.Job).Set(float64(r.End.UnixMicro()) / 1e6)
}
