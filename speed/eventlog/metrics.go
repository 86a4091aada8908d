package eventlog

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds how long a scrape waits for the server's answer about the streams.
const scrapeTimeout = time.Second

type metrics struct {
	messages, bytes *prometheus.CounterVec // by partition
	failures        *prometheus.CounterVec // by reason
	latency         prometheus.Histogram
	inFlight        prometheus.Gauge
	read, readBytes *prometheus.CounterVec // by partition
	reopened        prometheus.Counter
	registered      []prometheus.Collector
	registerer      prometheus.Registerer
}

// newMetrics creates the metrics and registers them unless r is nil.
func newMetrics(r prometheus.Registerer, l *Log) (*metrics, error) {
	perPartition := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "recount", Subsystem: "log", Name: name,
			Help: help}, []string{"partition"})
	}
	m := &metrics{
		registerer: r,
		messages:   perPartition("appended_messages_total", "Messages that the log acknowledged as durable."),
		bytes:      perPartition("appended_bytes_total", "Bytes of the frames that the log acknowledged as durable."),
		read:       perPartition("read_messages_total", "Messages delivered to the readers of this process."),
		readBytes:  perPartition("read_bytes_total", "Bytes of the frames delivered to the readers of this process."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "recount", Subsystem: "log",
			Name: "append_failures_total",
			Help: "Appends that ended without an acknowledgement, by reason."}, []string{"reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "recount", Subsystem: "log",
			Name:    "append_seconds",
			Help:    "Time from sending a message to its acknowledgement as durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "recount", Subsystem: "log",
			Name: "in_flight_messages",
			Help: "Appends that have no outcome yet."}),
		reopened: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "recount", Subsystem: "log",
			Name: "reader_reopened_total",
			Help: "Times that a reader lost its consumer on the server and resumed."}),
	}
	return m, m.register(m.messages, m.bytes, m.read, m.readBytes, m.failures, m.latency, m.inFlight, m.reopened,
		usage{l})
}

func (m *metrics) register(cs ...prometheus.Collector) error {
	if m.registerer == nil {
		return nil
	}
	for _, c := range cs {
		if err := m.registerer.Register(c); err != nil {
			return err
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

// unregister frees the metric names for another Log of the process. m may be nil.
func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) countAppend(p *Pending) {
	m.inFlight.Dec()
	if p.err != nil {
		m.failures.WithLabelValues(failureReason(p.err)).Inc()
		return
	}
	label := strconv.Itoa(p.partition)
	m.latency.Observe(time.Since(p.sent).Seconds())
	m.messages.WithLabelValues(label).Inc()
	m.bytes.WithLabelValues(label).Add(float64(p.bytes))
}

func failureReason(err error) string {
	for name, target := range map[string]error{"full": ErrFull, "too_large": ErrTooLarge, "altered": ErrAltered} {
		if errors.Is(err, target) {
			return name
		}
	}
	return "unavailable"
}

// usage reports the size and the bounds of each partition. It asks the server at each scrape.
type usage struct{ log *Log }

var (
	usageBytes = prometheus.NewDesc("recount_log_stored_bytes", "Bytes that the partition holds.",
		[]string{"partition"}, nil)
	usageLimit = prometheus.NewDesc("recount_log_max_bytes", "Bytes at which the partition is full and refuses events.",
		[]string{"partition"}, nil)
	usageFirst = prometheus.NewDesc("recount_log_first_sequence", "First sequence that the partition still has.",
		[]string{"partition"}, nil)
	usageNext = prometheus.NewDesc("recount_log_next_sequence", "Sequence that the next message will get.",
		[]string{"partition"}, nil)
)

// Describe implements prometheus.Collector.
func (usage) Describe(ch chan<- *prometheus.Desc) {
	ch <- usageBytes
	ch <- usageLimit
	ch <- usageFirst
	ch <- usageNext
}

// Collect implements prometheus.Collector. A partition whose server does not answer is left out.
func (u usage) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for p := range u.log.streams {
		s, err := u.log.state(ctx, p)
		if err != nil {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, strconv.Itoa(p))
		}
		gauge(usageBytes, float64(s.Bytes))
		gauge(usageLimit, float64(u.log.cfg.MaxBytes))
		gauge(usageFirst, float64(max(s.FirstSeq, 1)))
		gauge(usageNext, float64(s.LastSeq+1))
	}
}
