package api

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/query"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	rows    prometheus.Histogram
	unmet   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, g *gate, l *lobby) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "recount_query_seconds",
			Help:    "Time from a query's arrival to the last byte of its answer, by mode and HTTP status.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"mode", "status"}),
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "recount_query_rows", Help: "Number of rows in an answer.",
			Buckets: prometheus.ExponentialBuckets(1, 10, 7),
		}),
		unmet: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_query_unmet_total",
			Help: "Queries whose min_through or max_staleness no answer met in time, by which of the two.",
		}, []string{"asked"}),
	}
	if r != nil {
		r.MustRegister(m.seconds, m.rows, m.unmet,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_awaiting",
				Help: "Queries that wait for what min_through or max_staleness asks for. They hold no place."},
				func() float64 { return float64(l.count()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_running", Help: "Queries that run now."},
				func() float64 {
					running, _ := g.count()
					return float64(running)
				}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_waiting",
				Help: "Queries that wait for their turn."},
				func() float64 {
					_, waiting := g.count()
					return float64(waiting)
				}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_held_bytes",
				Help: "Memory of encoded answers that are being made or wait for their clients."},
				func() float64 { return float64(g.heldBytes()) }))
	}
	return m
}

// statusClientGone is the status that proxies log for a request whose client left.
const statusClientGone = 499

func (m *metrics) observe(mode query.Mode, status int, began time.Time) {
	if !slices.Contains(query.Modes, mode) && mode != modeSQL && mode != modeSeveral && mode != modeChanges {
		mode = "none" // A client may send any string, and each label is kept for ever.
	}
	m.seconds.WithLabelValues(string(mode), strconv.Itoa(status)).Observe(time.Since(began).Seconds())
}
