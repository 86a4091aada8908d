package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/schemas/catalog"
	"recount/schemas/position"
)

// stalledMemory is the Stalled reason of a partition that has used up its share of the memory.
const stalledMemory = "memory"

// Views holds the real-time views of all partitions. The catalog is that of Open, or of a later Declare. Epochs and cut
// rules are those of Open, or of a later Renew.
type Views struct {
	cfg        Config
	partitions []*partition
}

// PartitionStart is what Open and Renew must know about a partition.
type PartitionStart struct {
	// Epochs are all epochs of the partition in order, as its commit chain lists them.
	Epochs []position.EpochStart
	// OldestKept is H of the oldest kept publication.
	OldestKept uint64
	// ReplayFrom is where a replay begins if the log no longer reaches back to OldestKept (L5). It
	// is the lowest boundary from which the log is whole, and has no effect below OldestKept.
	ReplayFrom uint64
	// LogNext is the next sequence that the log will assign. The partition is level once it has read
	// everything before it.
	LogNext uint64
	// LogLost says that the log ends below what the process knew to be in it. Open ignores it.
	LogLost bool
}

// Open loads the newest usable snapshots and returns views that answer from them. Run makes them read
// the log. A snapshot that is damaged, of other cut rules or of lost messages is skipped with a
// warning. Errors are about the settings and the disk.
//
// before are definitions that views of the catalog had before, each a catalog of one view. They are counted too.
func Open(cfg Config, c *catalog.Catalog, starts []PartitionStart, source Source,
	before ...*catalog.Catalog) (*Views, error) {
	cfg.Partitions = len(starts)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	v := &Views{cfg: cfg}
	plan := newPlan(c, before...)
	var g errgroup.Group
	for i, s := range starts {
		if err := checkEpochs(s.Epochs, s.OldestKept); err != nil {
			return nil, fmt.Errorf("open real-time views: partition %d: %w", i, err)
		}
		p := newPartition(i, len(starts), cfg, c, plan, s, source)
		v.partitions = append(v.partitions, p)
		g.Go(func() error { return p.restore(s.LogNext) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	return v, v.register()
}

// Run consumes the log until ctx ends, and then writes the last snapshots. A partition that stopped
// does not end the others. It continues when the oldest kept publication covers the message that
// stopped it. Run returns the errors of the partitions that are stopped at its end.
func (v *Views) Run(ctx context.Context) error {
	defer v.unregister()
	var g errgroup.Group
	for _, p := range v.partitions {
		g.Go(func() error { return p.run(ctx) })
		g.Go(func() error {
			p.redeclare(ctx)
			return nil
		})
	}
	g.Go(func() error {
		v.snapshotLoop(ctx)
		return nil
	})
	return errors.Join(g.Wait(), v.Snapshot())
}

// snapshotLoop writes snapshots until ctx ends, the first one at once. If Open could use none, a
// restart would find the same unusable files again and would know no earlier duplicates.
func (v *Views) snapshotLoop(ctx context.Context) {
	for {
		if err := v.Snapshot(); err != nil {
			v.cfg.Logger.Error("cannot write a snapshot; a restart must replay more of the log", "error", err)
		}
		if !sleep(ctx, v.cfg.SnapshotEvery) {
			return
		}
	}
}

// Snapshot writes a snapshot of each partition at the start of its open segment, one partition after
// the other. It skips a partition that has a snapshot at that offset. Reading and scans continue.
func (v *Views) Snapshot() error {
	var errs []error
	for _, p := range v.partitions {
		errs = append(errs, p.snapshots.write(p.capture()))
	}
	return errors.Join(errs...)
}

// Retain evicts the segments that end at or before H of the oldest kept publication (S3).
// An older H has no effect. An error wraps ErrNotBoundary; it does not keep Retain from evicting the
// segments of the other partitions.
func (v *Views) Retain(oldestKept []position.Offset) error {
	if len(oldestKept) != len(v.partitions) {
		return fmt.Errorf("retain real-time views: %d offsets for %d partitions", len(oldestKept), len(v.partitions))
	}
	var errs []error
	for i, p := range v.partitions {
		errs = append(errs, p.retain(oldestKept[i].Seq))
		if heir := p.heir.Load(); heir != nil {
			errs = append(errs, heir.retain(oldestKept[i].Seq))
		}
	}
	return errors.Join(errs...)
}

// PartitionStatus describes one partition.
type PartitionStatus struct {
	Partition int
	Base      uint64          // first message of the aggregates
	Through   position.Offset // S, the next message to read
	Level     uint64          // the log's end at Open or Renew; the partition is level once Through reaches it
	Known     uint64          // every message before it is known to be in the log
	Lags      bool            // the partition lags the log by more than Config.MaxLag
	Epoch     uint32          // newest known epoch
	Boundary  uint64          // start of the open segment
	Snapshot  uint64          // offset of the newest snapshot, 0 without one (L6)
	Segments  int             // number of closed segments
	Groups    int             // number of rows of all views
	Bytes     int64           // size of the aggregates, and of those of changed views that are not level yet
	Appended  time.Time       // newest append time, by the writer's clock; zero before the first message
	Stalled   string          // why the partition or its changed views wait: "memory" or the log's error; else empty
	Failed    error           // why the partition stopped; nil if it has not stopped or continues again

	Messages, Events, Duplicates uint64 // numbers consumed since the start of the process

	WindowEntries int
	WindowBytes   int64
	WindowReach   time.Duration // how far back copies are recognized
	WindowDropped uint64        // ids forgotten early because the window was full
}

// Status returns the status of every partition.
func (v *Views) Status() []PartitionStatus {
	var out []PartitionStatus
	for _, p := range v.partitions {
		out = append(out, p.status())
	}
	return out
}

func (p *partition) status() PartitionStatus {
	saved := p.snapshots.lastSaved()
	p.mu.RLock()
	defer p.mu.RUnlock()
	t := p.totals
	level, _ := p.logEnd.ends()
	s := PartitionStatus{
		Partition: p.id,
		Base:      p.base,
		Through:   position.Offset{Epoch: epochAt(p.epochs, p.next), Seq: p.next},
		Level:     level,
		Known:     p.known(),
		Lags:      p.logEnd.lags(p.next),
		Epoch:     p.epochs[len(p.epochs)-1].Epoch,
		Boundary:  p.open.start,
		Snapshot:  saved.next,
		Segments:  len(p.closed),
		Groups:    p.open.groups(),
		Bytes:     t.closedBytes + t.openBytes,
		Stalled:   p.state.stalled,
		Failed:    p.state.failed,

		Messages:   t.messages,
		Events:     t.events,
		Duplicates: t.duplicates,

		WindowEntries: t.window.entries,
		WindowBytes:   t.window.bytes,
		WindowReach:   t.window.reach,
		WindowDropped: t.window.dropped,
	}
	if t.appended != 0 {
		s.Appended = time.UnixMicro(t.appended).UTC()
	}
	for _, c := range p.closed {
		s.Groups += c.groups()
	}
	if heir := p.heir.Load(); heir != nil {
		heir.addTo(&s)
	}
	return s
}

// addTo adds what an heir has to the status of its partition.
func (p *partition) addTo(s *PartitionStatus) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s.Bytes += p.totals.closedBytes + p.totals.openBytes
	if s.Stalled == "" && p.state.stalled != "" {
		s.Stalled = "changed views wait: " + p.state.stalled
	}
}
