package landing

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// stage is a step of the state machine, under the name it has in metrics and log lines.
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
	stages // the number of stages
)

func (s stage) String() string {
	return [...]string{"recover", "read", "heartbeat", "encode", "schema", "put", "verify", "commit"}[s]
}

// metrics are the metrics of all partitions of a lander.
type metrics struct {
	events, bytes, segments, lost, alarms, heartbeats *prometheus.CounterVec
	openEvents, openBytes, head, failing              *prometheus.GaugeVec
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
		events:   counter("events_total", "Events that this process has landed.", "partition"),
		bytes:    counter("bytes_total", "Bytes of the Parquet objects that this process has landed.", "partition"),
		segments: counter("segments_total", "Segments that this process has landed.", "partition"),
		lost:     counter("lost_races_total", "Segments that another process landed first.", "partition"),
		alarms:   counter("alarms_total", "Times that the partition has stopped and needed an operator.", "partition"),
		heartbeats: counter("heartbeats_total",
			"Heartbeats that were appended to end the segment of an idle partition.", "partition"),
		openEvents: gauge("open_events", "Events in the open segment."),
		openBytes:  gauge("open_bytes", "Bytes of the messages in the open segment."),
		head:       gauge("next_sequence", "Sequence of the next message that has not landed."),
		failing: gauge("failing_seconds", "Seconds for which each try of a stage has failed; 0 while the partition "+
			"lands."),
		retries: counter("retries_total", "Failed tries of a stage.", "partition", "stage"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "recount_landing_stage_seconds",
			Help:    "Seconds that one try of a stage took. The stage put includes verify.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"stage"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.bytes, m.segments, m.lost, m.alarms, m.heartbeats,
		m.openEvents, m.openBytes, m.head, m.failing, m.retries, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// partitionMetrics are the metrics of one partition. They are looked up once.
type partitionMetrics struct {
	events, bytes, segments, lost, alarms, heartbeats prometheus.Counter
	openEvents, openBytes, head, failing              prometheus.Gauge
	retries                                           [stages]prometheus.Counter
	seconds                                           [stages]prometheus.Observer
}

func (m *metrics) forPartition(partition int) partitionMetrics {
	label := strconv.Itoa(partition)
	p := partitionMetrics{
		events: m.events.WithLabelValues(label), bytes: m.bytes.WithLabelValues(label),
		segments: m.segments.WithLabelValues(label), lost: m.lost.WithLabelValues(label),
		alarms: m.alarms.WithLabelValues(label), heartbeats: m.heartbeats.WithLabelValues(label),
		openEvents: m.openEvents.WithLabelValues(label), openBytes: m.openBytes.WithLabelValues(label),
		head: m.head.WithLabelValues(label), failing: m.failing.WithLabelValues(label),
	}
	for s := range stages {
		p.retries[s] = m.retries.WithLabelValues(label, s.String())
		p.seconds[s] = m.seconds.WithLabelValues(s.String())
	}
	return p
}

// setOpen sets the gauges of the open segment.
func (p *partitionMetrics) setOpen(s *segment) {
	p.openEvents.Set(float64(s.events))
	p.openBytes.Set(float64(s.bytes))
}

// clearOpen resets the gauges of the open segment.
func (p *partitionMetrics) clearOpen() {
	p.openEvents.Set(0)
	p.openBytes.Set(0)
}

// countSegment counts a segment that has landed in objects of size bytes.
func (p *partitionMetrics) countSegment(s *segment, size int64) {
	p.events.Add(float64(s.events))
	p.bytes.Add(float64(size))
	p.segments.Inc()
	p.clearOpen()
}
