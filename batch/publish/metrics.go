package publish

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/record"
)

// metrics are those of the runs and of the newest publication.
type metrics struct {
	seconds   prometheus.Histogram
	events    prometheus.Counter
	rows      prometheus.Counter
	buckets   prometheus.Counter
	lost      prometheus.Counter
	rebuilt   prometheus.Counter
	failures  *prometheus.CounterVec
	collected *prometheus.CounterVec
	n         *prometheus.Desc
	age       *prometheus.Desc
	h         *prometheus.Desc
	conflicts *prometheus.Desc
	unfilled  *prometheus.Desc
	publisher *Publisher
}

func newMetrics(r prometheus.Registerer, p *Publisher) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_batch_" + name, Help: help})
	}
	m := &metrics{
		publisher: p,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "recount_batch_run_seconds", Help: "How long a recompute took that published.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 16)}),
		events:  counter("events_total", "Landed events that this process published."),
		rows:    counter("rows_total", "Rows that this process published."),
		buckets: counter("dirty_buckets_total", "Buckets that this process recomputed and published."),
		lost:    counter("lost_buckets_total", "Buckets without the rows that their publication names."),
		rebuilt: counter("rebuilt_objects_total", "Lost objects that were rebuilt from the log."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_batch_failures_total",
			Help: "Failed runs by operation: recompute, collect."}, []string{"op"}),
		collected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_batch_collected_total",
			Help: "Rows, objects and tables that were removed because nothing names them."}, []string{"kind"}),
		n: prometheus.NewDesc("recount_batch_publication", "Number of the newest publication that this process "+
			"knows.", nil, nil),
		age: prometheus.NewDesc("recount_batch_publication_age_seconds",
			"Time since the newest publication was created.", nil, nil),
		h: prometheus.NewDesc("recount_batch_next_sequence",
			"First sequence of the partition that is not in the batch view.",
			[]string{"partition"}, nil),
		conflicts: prometheus.NewDesc("recount_batch_conflicts", "Published copies of a tenant with another payload "+
			"or time than the event that counts.", []string{"type", "tenant"}, nil),
		unfilled: prometheus.NewDesc("recount_batch_unfilled_events", "Landed events of the history that a new or "+
			"redefined view does not count yet.", []string{"view"}, nil),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.seconds, m.events, m.rows, m.buckets, m.lost, m.rebuilt, m.failures,
		m.collected, m} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.n
	ch <- m.age
	ch <- m.h
	ch <- m.conflicts
	ch <- m.unfilled
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.publisher.State()
	ch <- prometheus.MustNewConstMetric(m.n, prometheus.GaugeValue, float64(s.N))
	if s.N > 0 {
		age := m.publisher.cfg.Now().Sub(s.Publication.Created).Seconds()
		ch <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, age)
	}
	for i, h := range s.H {
		ch <- prometheus.MustNewConstMetric(m.h, prometheus.GaugeValue, float64(h.Seq), strconv.Itoa(i))
	}
	for name, v := range s.Views {
		left := 0.0
		if v.Fill != nil {
			left = float64(v.Fill.Rows)
		}
		ch <- prometheus.MustNewConstMetric(m.unfilled, prometheus.GaugeValue, left, name)
	}
	m.collectConflicts(ch, s)
}

// collectConflicts sends a value for every type and tenant with a conflict.
func (m *metrics) collectConflicts(ch chan<- prometheus.Metric, s *record.State) {
	for name, ledger := range s.Ledgers {
		for tenant, accounts := range ledger.Tenants {
			if n := record.Sum(accounts).Conflicts; n > 0 {
				ch <- prometheus.MustNewConstMetric(m.conflicts, prometheus.GaugeValue, float64(n), name, tenant)
			}
		}
	}
}

// published counts a run that published.
func (m *metrics) published(r Result, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	m.events.Add(float64(r.Events))
	m.rows.Add(float64(r.Rows))
	m.buckets.Add(float64(r.Buckets))
}
