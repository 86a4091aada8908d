package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/query"
)

type metrics struct {
	seconds  *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	rows     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, a *API) *metrics {
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16)
	m := &metrics{
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "recount_query_seconds", Help: "Time of an answered query, by mode.", Buckets: buckets}, []string{"mode"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_query_refused_total", Help: "Queries without an answer, by mode and status."}, []string{"mode", "status"}),
		rows:     prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_query_rows_total", Help: "Rows of answers."}),
	}
	if reg != nil {
		running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_running", Help: "Queries that run."}, func() float64 { return float64(len(a.running)) })
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_waiting", Help: "Queries that wait for a place."},
			func() float64 { return float64(max(0, len(a.admitted)-len(a.running))) })
		reg.MustRegister(m.seconds, m.refusals, m.rows, running, waiting)
	}
	return m
}

func (m *metrics) answered(mode query.Mode, rows int, took time.Duration) {
	m.seconds.WithLabelValues(string(mode)).Observe(took.Seconds())
	m.rows.Add(float64(rows))
}

// refused counts a query without an answer. A mode nobody knows is not a label.
func (m *metrics) refused(mode query.Mode, status int) {
	switch mode {
	case query.Merged, query.Exact, query.Live:
	default:
		mode = "unknown"
	}
	m.refusals.WithLabelValues(string(mode), strconv.Itoa(status)).Inc()
}
