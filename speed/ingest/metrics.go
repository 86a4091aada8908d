package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of a Server. Rejected events and refused requests are
// counted by code, of which there are few.
type metrics struct {
	accepted   prometheus.Counter
	rejected   *prometheus.CounterVec
	requests   *prometheus.CounterVec
	bytes      prometheus.Counter
	seconds    prometheus.Histogram
	group      prometheus.Histogram
	frames     prometheus.Counter
	appending  prometheus.Histogram
	failed     *prometheus.CounterVec
	overflowed *prometheus.CounterVec
	kept       prometheus.Counter
	replayed   prometheus.Counter
	dropped    [dropReasons]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, queues []*queue, g *gate, memory *budget, limit int) (*metrics, error) {
	name := func(n string) string { return prometheus.BuildFQName("recount", "ingest", n) }
	counter := func(n, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name(n), Help: help} }
	m := &metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts(counter("events_accepted_total",
			"Events acknowledged as durable."))),
		rejected: prometheus.NewCounterVec(counter("events_rejected_total", "Events refused, by code."),
			[]string{"code"}),
		requests: prometheus.NewCounterVec(counter("requests_total",
			"Requests answered, by code; ok when every event was stored or refused for good."), []string{"code"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts(counter("body_bytes_total",
			"Bytes of bodies after decompression."))),
		frames: prometheus.NewCounter(prometheus.CounterOpts(counter("message_bytes_total",
			"Bytes of messages given to the log."))),
		failed: prometheus.NewCounterVec(counter("appends_failed_total", "Messages the log did not take, by code."),
			[]string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("request_seconds"),
			Help:    "Time to answer a request.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
		appending: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("append_seconds"),
			Help:    "Time to encode a message and have it stored.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("message_events"),
			Help:    "Events of one message to the log.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 10)}),
	}
	m.kept = prometheus.NewCounter(prometheus.CounterOpts(counter("dead_letters_kept_total",
		"Rejected events and requests kept as dead letters.")))
	m.replayed = prometheus.NewCounter(prometheus.CounterOpts(counter("dead_letters_replayed_total",
		"Dead letters accepted on replay, copies included.")))
	dropped := prometheus.NewCounterVec(counter("dead_letters_not_kept_total",
		"Rejected events and requests that are only counted, by reason: rate, memory, queue or log."),
		[]string{"reason"})
	for i, reason := range dropNames {
		m.dropped[i] = dropped.WithLabelValues(reason)
	}
	m.overflowed = prometheus.NewCounterVec(counter("values_overflowed_total",
		"Values of dimensions counted as ~overflow because a tenant had too many in a day."), []string{"type", "field"})
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.accepted, m.rejected, m.requests, m.bytes, m.seconds, m.group, m.frames,
		m.appending, m.failed, m.kept, m.replayed, dropped, m.overflowed}
	all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("memory_bytes"),
		Help: "Memory held by requests."},
		func() float64 { return float64(int64(limit) - memory.left.Load()) }))
	all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("waiting_requests"),
		Help: "Requests that wait to be decoded."},
		func() float64 { return float64(g.waiting.Load()) }))
	for i, q := range queues {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("queue_bytes"),
			Help:        "Bytes waiting for the log or in it, by partition.",
			ConstLabels: prometheus.Labels{"partition": strconv.Itoa(i)}}, func() float64 { return float64(q.held()) }))
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("queue_tenant_bytes"),
			Help: "Of queue_bytes, those of the tenant that has most; beyond its share it is refused with the code " +
				"share_used.",
			ConstLabels: prometheus.Labels{"partition": strconv.Itoa(i)}},
			func() float64 { return float64(q.largest()) }))
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// answered counts a finished request.
func (m *metrics) answered(a *answer, bytes int, took time.Duration) {
	code := "ok"
	if a.problem != nil {
		code = string(a.problem.code)
	}
	m.requests.WithLabelValues(code).Inc()
	m.accepted.Add(float64(a.accepted))
	m.bytes.Add(float64(bytes))
	m.seconds.Observe(took.Seconds())
	for _, r := range a.rejected {
		m.rejected.WithLabelValues(string(r.code)).Inc()
	}
}

// lettered counts what became of a request's rejections.
func (m *metrics) lettered(l *letters) {
	m.kept.Add(float64(l.kept))
	for i, n := range l.dropped {
		m.dropped[i].Add(float64(n))
	}
}

// committed counts a message.
func (m *metrics) committed(events, bytes int, took time.Duration, f *fault) {
	m.group.Observe(float64(events))
	m.frames.Add(float64(bytes))
	m.appending.Observe(took.Seconds())
	if f != nil {
		m.failed.WithLabelValues(string(f.code)).Inc()
	}
}
