package stream

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	rounds  *prometheus.CounterVec
	refused *prometheus.CounterVec
	sent    prometheus.Counter
	skipped prometheus.Counter
}

func newMetrics(r prometheus.Registerer, h *Hub) *metrics {
	m := &metrics{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_stream_rounds_total",
			Help: "Rounds of queries that have readers, by result: asked, unchanged (so nothing was asked), busy or " +
				"failed.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recount_stream_refused_total",
			Help: "Readers that were refused, by the limit that was reached: readers or queries.",
		}, []string{"limit"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recount_stream_sent_total", Help: "Answers that were sent to readers.",
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recount_stream_skipped_total",
			Help: "Answers that a reader did not get because a newer one had come before it was ready.",
		}),
	}
	if r != nil {
		r.MustRegister(m.rounds, m.refused, m.sent, m.skipped,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_stream_readers",
				Help: "Readers of streams now."},
				func() float64 {
					readers, _ := h.count()
					return float64(readers)
				}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_stream_queries",
				Help: "Queries that run for readers of streams now."},
				func() float64 {
					_, queries := h.count()
					return float64(queries)
				}))
	}
	return m
}
