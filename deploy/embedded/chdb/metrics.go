package chdb

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer prometheus.Registerer
	waiting    prometheus.Gauge
	running    prometheus.Gauge
	abandoned  prometheus.Counter
	queries    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "recount", Subsystem: "embedded_clickhouse", Name: name, Help: help,
		})
	}
	m := &metrics{
		registerer: r,
		waiting:    gauge("waiting", "Requests that wait for a session."),
		running:    gauge("running", "Queries in the engine, abandoned ones included."),
		abandoned: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "recount", Subsystem: "embedded_clickhouse", Name: "abandoned_total",
			Help: "Queries that were killed because their caller went away.",
		}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "recount", Subsystem: "embedded_clickhouse", Name: "queries_total",
			Help: "Queries that ended while their caller waited, by outcome.",
		}, []string{"outcome"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := r.Register(c); err != nil {
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.waiting, m.running, m.abandoned, m.queries}
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all() {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) count(err error) {
	outcome := "ok"
	var ex *exception
	if errors.As(err, &ex) {
		outcome = "exception"
	} else if err != nil {
		outcome = "failed"
	}
	m.queries.WithLabelValues(outcome).Inc()
}
