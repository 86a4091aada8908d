package reader

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/query"
)

type metrics struct {
	seconds  *prometheus.HistogramVec
	restarts *prometheus.CounterVec
	stale    prometheus.Counter
}

func newMetrics(r prometheus.Registerer, memory *query.Budget) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "recount_query_part_seconds",
			Help: "Time that a query spent in one part: live, batch or merge; or range, the " +
				"search for the ends of the data, whose scans are in live and batch too.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14),
		}, []string{"part"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_query_restarts_total",
			Help: "Restarts of queries from the newest publication (Q1), by reason.",
		}, []string{"reason"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recount_query_stale_total",
			Help: "Queries that were answered without the speed layer, or a partition that refused the cut (Q2).",
		}),
	}
	if r != nil {
		r.MustRegister(m.seconds, m.restarts, m.stale)
	}
	if r != nil && memory != nil {
		r.MustRegister(memoryMetrics(memory)...)
	}
	return m
}

func memoryMetrics(b *query.Budget) []prometheus.Collector {
	gauge := func(name, help string, value func(bytes int64, waiting int) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			bytes, waiting, _ := b.Held()
			return value(bytes, waiting)
		})
	}
	return []prometheus.Collector{
		gauge("recount_query_memory_bytes", "Memory that all queries hold together, out of query.memory.",
			func(bytes int64, _ int) float64 { return float64(bytes) }),
		gauge("recount_query_memory_waiting", "Queries that wait for memory.",
			func(_ int64, waiting int) float64 { return float64(waiting) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "recount_query_memory_refused_total",
			Help: "Queries that found no memory in time."}, func() float64 {
			_, _, refused := b.Held()
			return float64(refused)
		}),
	}
}

func (m *metrics) time(part string) (stop func()) {
	began := time.Now()
	return func() { m.seconds.WithLabelValues(part).Observe(time.Since(began).Seconds()) }
}
