package reader

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds  *prometheus.HistogramVec
	restarts *prometheus.CounterVec
	stale    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "recount_query_part_seconds", Help: "Time that a query spent in one part: live, batch or merge.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14),
		}, []string{"part"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_query_restarts_total",
			Help: "Restarts of queries from the newest publication (Q1), by reason.",
		}, []string{"reason"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recount_query_stale_total", Help: "Queries that were answered without the speed layer (Q2).",
		}),
	}
	if r != nil {
		r.MustRegister(m.seconds, m.restarts, m.stale)
	}
	return m
}

func (m *metrics) time(part string) (stop func()) {
	began := time.Now()
	return func() { m.seconds.WithLabelValues(part).Observe(time.Since(began).Seconds()) }
}
