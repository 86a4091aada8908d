package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of a Server. Rejected events and refused requests are counted by code,
// of which there are few.
type metrics struct {
	accepted   prometheus.Counter
	rejected   *prometheus.CounterVec
	requests   *prometheus.CounterVec
	answered   prometheus.Counter // requests with the code ok
	bytes      prometheus.Counter
	seconds    prometheus.Histogram
	group      prometheus.Histogram
	frames     prometheus.Counter
	appending  prometheus.Histogram
	failed     *prometheus.CounterVec
	overflowed *prometheus.CounterVec
	coerced    *coerced
	kept       prometheus.Counter
	replayed   prometheus.Counter
	dropped    [dropReasons]prometheus.Counter

	discoveredTypes  prometheus.Counter
	discoveredFields prometheus.Counter
	discoveryLimits  *prometheus.CounterVec
	proposals        prometheus.Histogram
}

// newMetrics registers the metrics, unless reg is nil. The gauges read the queues, the gate and
// the memory, of which there are limit bytes.
func newMetrics(reg prometheus.Registerer, queues []*queue, g *gate, memory *budget, limit int) (*metrics, error) {
	times := prometheus.ExponentialBuckets(0.0005, 2, 15)
	m := &metrics{
		accepted: newCounter("events_accepted_total", "Events that were acknowledged as durable."),
		rejected: newCounterVec("events_rejected_total", "Events that were refused, by code.", "code"),
		requests: newCounterVec("requests_total",
			"Requests that were answered, by code. The code ok means that every event was stored or refused for good.",
			"code"),
		bytes:  newCounter("body_bytes_total", "Bytes of request bodies after decompression."),
		frames: newCounter("message_bytes_total", "Bytes of messages that were given to the log."),
		failed: newCounterVec("appends_failed_total", "Messages that the log did not confirm, by code.", "code"),
		seconds: newHistogram("request_seconds", "Time from the start of a request until its answer is known.",
			times),
		appending: newHistogram("append_seconds", "Time to encode a message and to store it in the log.", times),
		group: newHistogram("message_events", "Number of events in a message to the log.",
			prometheus.ExponentialBuckets(1, 4, 10)),
		kept: newCounter("dead_letters_kept_total", "Rejected events and requests that were kept as dead letters."),
		replayed: newCounter("dead_letters_replayed_total",
			"Dead letters whose events were accepted on replay, copies included."),
		overflowed: newCounterVec("values_overflowed_total", "Values of dimensions that are counted as ~overflow, "+
			"because a tenant sent too many different ones in a day.", "type", "field"),
		coerced: newCoerced(),
		discoveredTypes: newCounter("types_discovered_total",
			"Event types that this process has declared from their first events."),
		discoveredFields: newCounter("fields_discovered_total",
			"Fields that this process has declared from events, those of new event types included."),
		discoveryLimits: newCounterVec("discovery_limits_total", "Bounds of discovery that were met, each once for an "+
			"event type, by setting.", "setting"),
		proposals: newHistogram("discovery_seconds", "Time to declare event types or fields that were found.", times),
	}
	m.answered = m.requests.WithLabelValues("ok")
	dropped := newCounterVec("dead_letters_not_kept_total", "Rejected events and requests that were only counted, "+
		"by the reason why they were not kept: rate, memory, queue or log.", "reason")
	for i, reason := range dropNames {
		m.dropped[i] = dropped.WithLabelValues(reason)
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.accepted, m.rejected, m.requests, m.bytes, m.seconds, m.group, m.frames,
		m.appending, m.failed, m.kept, m.replayed, dropped, m.overflowed, m.coerced.values, m.discoveredTypes,
		m.discoveredFields, m.discoveryLimits, m.proposals,
		newGauge("memory_bytes", "Bytes of memory that requests hold.", nil,
			func() int { return limit - int(memory.left.Load()) }),
		newGauge("waiting_requests", "Requests that wait to be decoded.", nil,
			func() int { return int(g.waiting.Load()) })}
	for i, q := range queues {
		labels := prometheus.Labels{"partition": strconv.Itoa(i)}
		all = append(all,
			newGauge("queue_bytes", "Bytes that wait for the log or are being appended to it, by partition.", labels,
				q.held),
			newGauge("queue_tenant_bytes", "The part of queue_bytes that belongs to the tenant with most of them. "+
				"Beyond its share a tenant is refused with the code share_used.", labels, q.largestShare))
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func metricName(name string) string { return prometheus.BuildFQName("recount", "ingest", name) }

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricName(name), Help: help})
}

func newCounterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricName(name), Help: help}, labels)
}

func newHistogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: metricName(name), Help: help, Buckets: buckets})
}

func newGauge(name, help string, labels prometheus.Labels, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: metricName(name), Help: help, ConstLabels: labels},
		func() float64 { return float64(value()) })
}

// countRequest counts a request that is about to be answered.
func (m *metrics) countRequest(a *answer, bytes int, duration time.Duration) {
	if a.problem != nil {
		m.requests.WithLabelValues(string(a.problem.Code)).Inc()
	} else {
		m.answered.Inc()
	}
	m.accepted.Add(float64(a.accepted))
	m.bytes.Add(float64(bytes))
	m.seconds.Observe(duration.Seconds())
	for _, e := range a.rejected {
		m.rejected.WithLabelValues(string(e.code)).Inc()
	}
}

// countDeadLetters counts what became of a request's rejections.
func (m *metrics) countDeadLetters(l *deadLetters) {
	m.kept.Add(float64(l.kept))
	for i, n := range l.dropped {
		if n > 0 {
			m.dropped[i].Add(float64(n))
		}
	}
}

// countMessage counts a message. refused is nil if the log has confirmed it.
func (m *metrics) countMessage(events, bytes int, duration time.Duration, refused *rejection) {
	m.group.Observe(float64(events))
	m.frames.Add(float64(bytes))
	m.appending.Observe(duration.Seconds())
	if refused != nil {
		m.failed.WithLabelValues(string(refused.code)).Inc()
	}
}
