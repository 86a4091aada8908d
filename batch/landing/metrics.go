package landing

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// stage is a step of the state machine, as metrics and logs name it.
type stage int

const (
	stageRecover stage = iota
	stageRead
	stageHeartbeat
	stageEncode
	stageSchema
	stagePut
	stageVerify
	stageCommit
	stages
)

func (s stage) String() string {
	return [...]string{"recover", "read", "heartbeat", "encode", "schema", "put", "verify", "commit"}[s]
}

// metrics are the metrics of all partitions of a lander.
type metrics struct {
	events, bytes, segments, lost, alarms, heartbeats *prometheus.CounterVec
	openEvents, openBytes, head                       *prometheus.GaugeVec
	retries                                           *prometheus.CounterVec
	seconds                                           *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_landing_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_landing_" + name, Help: help},
			[]string{"partition"})
	}
	m := &metrics{
		events:   counter("events_total", "Events landed by this process.", "partition"),
		bytes:    counter("bytes_total", "Bytes of Parquet objects landed by this process.", "partition"),
		segments: counter("segments_total", "Segments landed by this process.", "partition"),
		lost:     counter("lost_races_total", "Segments that another process landed first.", "partition"),
		alarms:   counter("alarms_total", "Times the partition has stopped for an operator (C7).", "partition"),
		heartbeats: counter("heartbeats_total", "Heartbeats appended to end the segment of an idle partition.",
			"partition"),
		openEvents: gauge("open_events", "Events read into the open segment."),
		openBytes:  gauge("open_bytes", "Bytes of messages read into the open segment."),
		head:       gauge("next_sequence", "Next sequence that has not landed: the chain head."),
		retries:    counter("retries_total", "Failed tries by stage.", "partition", "stage"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "recount_landing_stage_seconds",
			Help:    "Time of one try of a stage; put includes verify.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"stage"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.bytes, m.segments, m.lost, m.alarms, m.heartbeats,
		m.openEvents, m.openBytes, m.head, m.retries, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// partitionMetrics are the metrics of one partition, looked up once.
type partitionMetrics struct {
	events, bytes, segments, lost, alarms, heartbeats prometheus.Counter
	openEvents, openBytes, head                       prometheus.Gauge
	retries                                           [stages]prometheus.Counter
	seconds                                           [stages]prometheus.Observer
}

func (m *metrics) of(partition int) partitionMetrics {
	label := strconv.Itoa(partition)
	p := partitionMetrics{
		events: m.events.WithLabelValues(label), bytes: m.bytes.WithLabelValues(label),
		segments: m.segments.WithLabelValues(label), lost: m.lost.WithLabelValues(label),
		alarms: m.alarms.WithLabelValues(label), heartbeats: m.heartbeats.WithLabelValues(label),
		openEvents: m.openEvents.WithLabelValues(label), openBytes: m.openBytes.WithLabelValues(label),
		head: m.head.WithLabelValues(label),
	}
	for s := range stages {
		p.retries[s] = m.retries.WithLabelValues(label, s.String())
		p.seconds[s] = m.seconds.WithLabelValues(s.String())
	}
	return p
}

func (p *partitionMetrics) open(s *segment) {
	p.openEvents.Set(float64(s.events))
	p.openBytes.Set(float64(s.bytes))
}

func (p *partitionMetrics) discard() {
	p.openEvents.Set(0)
	p.openBytes.Set(0)
}

func (p *partitionMetrics) landed(s *segment, size int64) {
	p.events.Add(float64(s.events))
	p.bytes.Add(float64(size))
	p.segments.Inc()
	p.discard()
}
