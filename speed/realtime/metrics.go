package realtime

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reports Status and the snapshots at each scrape, so nothing is counted a second time.
type collector struct{ views *Views }

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("recount_realtime_"+name, help, []string{"partition"}, nil)
}

var (
	descMessages   = describe("messages_total", "Messages that the partition has consumed.")
	descEvents     = describe("events_total", "Events that the partition has consumed, duplicates included.")
	descDuplicates = describe("duplicates_total", "Events that were not counted because they are duplicates.")
	descBase       = describe("base_sequence", "First message that the aggregates hold.")
	descNext       = describe("next_sequence", "Next message that the partition will consume.")
	descAppended   = describe("appended_timestamp_seconds", "Unix time at which the newest message was appended.")
	descSegments   = describe("segments", "Closed segments in memory.")
	descGroups     = describe("groups", "Rows of all views in memory.")
	descBytes      = describe("bytes", "Memory of the aggregates in bytes.")
	descMaxBytes   = describe("max_bytes", "Memory of the aggregates in bytes at which the partition waits.")
	descKnownLag   = describe("lag_messages", "Messages that are known to be in the log and that the partition has "+
		"not consumed.")
	descLags             = describe("lagging", "1 while the partition lags the log by more than speed.max_lag, else 0.")
	descStalled          = describe("stalled", "1 while the partition waits for memory or for the log, else 0.")
	descFailed           = describe("failed", "1 while the partition has stopped with an alarm, else 0.")
	descEntries          = describe("window_entries", "Ids that the partition remembers to recognize duplicates.")
	descMaxEntries       = describe("window_max_entries", "Number of ids above which the oldest are forgotten.")
	descReach            = describe("window_seconds", "How far back duplicates are recognized, in seconds.")
	descForgotten        = describe("window_forgotten_total", "Ids forgotten early because the window was full.")
	descWindowBytes      = describe("window_bytes", "Memory of the window of ids in bytes.")
	descSnapshot         = describe("snapshot_sequence", "First message that is not in the newest snapshot.")
	descSnapshotBytes    = describe("snapshot_bytes", "Size of the newest snapshot in bytes.")
	descSnapshotSeconds  = describe("snapshot_seconds", "Time that it took to write the newest snapshot, in seconds.")
	descSnapshotFailures = describe("snapshot_failures_total", "Snapshots that could not be written.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.views.partitions {
		p.collect(ch)
	}
}

func (p *partition) collect(ch chan<- prometheus.Metric) {
	label := strconv.Itoa(p.id)
	send := func(t prometheus.ValueType, d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, t, v, label)
	}
	gauge := func(d *prometheus.Desc, v float64) { send(prometheus.GaugeValue, d, v) }
	count := func(d *prometheus.Desc, v float64) { send(prometheus.CounterValue, d, v) }
	s := p.status()
	saved := p.snapshots.lastSaved()
	count(descMessages, float64(s.Messages))
	count(descEvents, float64(s.Events))
	count(descDuplicates, float64(s.Duplicates))
	gauge(descBase, float64(s.Base))
	gauge(descNext, float64(s.Through.Seq))
	if !s.Appended.IsZero() {
		gauge(descAppended, float64(s.Appended.UnixMicro())/1e6)
	}
	gauge(descSegments, float64(s.Segments))
	gauge(descGroups, float64(s.Groups))
	gauge(descBytes, float64(s.Bytes))
	gauge(descMaxBytes, float64(p.budget))
	gauge(descKnownLag, float64(s.Known-min(s.Known, s.Through.Seq)))
	gauge(descLags, boolValue(s.Lags))
	gauge(descStalled, boolValue(s.Stalled != ""))
	gauge(descFailed, boolValue(s.Failed != nil))
	gauge(descEntries, float64(s.WindowEntries))
	gauge(descMaxEntries, float64(p.cfg.WindowEntries))
	gauge(descReach, s.WindowReach.Seconds())
	count(descForgotten, float64(s.WindowDropped))
	gauge(descWindowBytes, float64(s.WindowBytes))
	gauge(descSnapshot, float64(saved.next))
	gauge(descSnapshotBytes, float64(saved.bytes))
	gauge(descSnapshotSeconds, saved.duration.Seconds())
	count(descSnapshotFailures, float64(saved.failures))
}

func boolValue(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func (v *Views) register() error {
	if v.cfg.Registerer == nil {
		return nil
	}
	if err := v.cfg.Registerer.Register(collector{v}); err != nil {
		return fmt.Errorf("open real-time views: register metrics: %w", err)
	}
	return nil
}

// unregister frees the metric names for other Views of the process.
func (v *Views) unregister() {
	if v.cfg.Registerer != nil {
		v.cfg.Registerer.Unregister(collector{v})
	}
}
