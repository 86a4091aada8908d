package iceberg

import "github.com/prometheus/client_golang/prometheus"

// metrics say how far the tables are.
type metrics struct {
	publication prometheus.Gauge
	commits     prometheus.Counter
	failures    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		publication: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_iceberg_publication",
			Help: "The newest publication that all Iceberg tables have."}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_iceberg_commits_total",
			Help: "Versions of Iceberg tables that this process committed."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_iceberg_failures_total",
			Help: "Failures of Iceberg tables by operation: update, collect. They are tried again."}, []string{"op"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.publication, m.commits, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
