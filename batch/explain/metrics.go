package explain

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// listEnd is why a page of events ended.
type listEnd string

const (
	endLast   listEnd = "last"   // there are no more events
	endLimit  listEnd = "limit"  // the page is full
	endBounds listEnd = "bounds" // as much was read as may be
	endTime   listEnd = "time"   // the time is over
	endFailed listEnd = "failed"
)

// metrics are those of lists of events.
type metrics struct {
	lists   *prometheus.CounterVec
	seconds prometheus.Histogram
	objects prometheus.Counter
	rows    prometheus.Counter
}

// newMetrics registers the metrics, unless r is nil.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_event_lists_total",
			Help: "Pages of events, by why they ended: last, limit, bounds, time or failed."}, []string{"end"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "recount_event_list_seconds",
			Help: "How long a page of events took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		objects: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_event_list_objects_total",
			Help: "Objects that pages of events have searched."}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_event_list_rows_total",
			Help: "Rows of objects that pages of events have searched."}),
	}
	for _, end := range []listEnd{endLast, endLimit, endBounds, endTime, endFailed} {
		m.lists.WithLabelValues(string(end))
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lists, m.seconds, m.objects, m.rows} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) countList(end listEnd, took time.Duration) {
	m.lists.WithLabelValues(string(end)).Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) countObject(rows int64) {
	m.objects.Inc()
	m.rows.Add(float64(rows))
}
