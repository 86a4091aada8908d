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

// stalledMemory is the reason of a partition that reached its share of the memory.
const stalledMemory = "memory"

// Views are the real-time views of all partitions. The catalog is that of Open: changing
// it takes a restart. Epochs and cut rules are those of Open, or of Renew since.
type Views struct {
	cfg        Config
	plan       *plan
	partitions []*partition
}

// PartitionStart says where a partition is as the process starts.
type PartitionStart struct {
	// Epochs are all epochs of the partition in order, as its commit chain lists them.
	Epochs []position.EpochStart
	// OldestKept is H of the oldest kept publication.
	OldestKept uint64
	// ReplayFrom is where a replay begins if it is above OldestKept: the lowest boundary
	// from which the log is whole, where it no longer reaches back (L5).
	ReplayFrom uint64
	// LogNext is the next sequence the log will assign.
	LogNext uint64
}

// Open loads the newest usable snapshots and returns views that answer from them. They go
// on once Run is called. A snapshot that is damaged, of other cut rules or
// of lost messages is passed over with a warning; errors are those of the settings and the disk.
func Open(cfg Config, cat *catalog.Catalog, parts []PartitionStart, src Source) (*Views, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	v := &Views{cfg: cfg, plan: newPlan(cat)}
	var g errgroup.Group
	for i, s := range parts {
		if err := checkEpochs(s.Epochs, s.OldestKept); err != nil {
			return nil, fmt.Errorf("open real-time views: partition %d: %w", i, err)
		}
		p := newPartition(i, len(parts), cfg, cat, v.plan, s, src)
		v.partitions = append(v.partitions, p)
		g.Go(func() error { return p.restore(s.LogNext) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("open real-time views: %w", err)
	}
	return v, v.register()
}

// Run consumes the log until ctx ends, then writes the last snapshots. A partition that has
// stopped does not end the others; it goes on once the oldest kept publication is beyond what
// stopped it. Run returns the errors of those that stand still then.
func (v *Views) Run(ctx context.Context) error {
	defer v.unregister()
	var g errgroup.Group
	for _, p := range v.partitions {
		g.Go(func() error { return p.run(ctx) })
	}
	g.Go(func() error {
		v.snapshotLoop(ctx)
		return nil
	})
	return errors.Join(g.Wait(), v.Snapshot())
}

// snapshotLoop begins with a snapshot: where none could be used, a restart would find the
// same unusable ones again, and without any it would know no duplicates from before.
func (v *Views) snapshotLoop(ctx context.Context) {
	for {
		if err := v.Snapshot(); err != nil {
			v.cfg.Logger.Error("snapshot failed; a restart replays more of the log", "error", err)
		}
		if !sleep(ctx, v.cfg.SnapshotEvery) {
			return
		}
	}
}

// Snapshot writes a snapshot of every partition at the start of its open segment, one
// after the other, unless there is one of that offset. Consumption and scans go on.
func (v *Views) Snapshot() error {
	var errs []error
	for _, p := range v.partitions {
		errs = append(errs, p.snapshots.write(p.capture()))
	}
	return errors.Join(errs...)
}

// Retain evicts the segments that end at or before H of the oldest kept publication (S3).
// Calling it with an older H does nothing. An error wraps ErrNotBoundary; the other partitions
// are evicted all the same.
func (v *Views) Retain(oldestKept []position.Offset) error {
	if len(oldestKept) != len(v.partitions) {
		return fmt.Errorf("retain real-time views: %d offsets for %d partitions", len(oldestKept), len(v.partitions))
	}
	var errs []error
	for i, p := range v.partitions {
		errs = append(errs, p.retain(oldestKept[i].Seq))
	}
	return errors.Join(errs...)
}

// PartitionStatus describes one partition.
type PartitionStatus struct {
	Partition int
	Base      uint64          // first message of the aggregates
	Through   position.Offset // S, the next message
	Epoch     uint32          // the newest it knows of
	Boundary  uint64          // start of the open segment
	Snapshot  uint64          // offset of the newest snapshot, 0 without one (L6)
	Segments  int             // closed ones
	Groups    int             // rows of all views
	Bytes     int64           // of the aggregates
	Appended  time.Time       // newest writer's clock; zero before the first message
	Stalled   string          // why it waits, "memory" or the log's error; empty if it does not
	Failed    error           // why it stopped; nil once it goes on

	Messages, Events, Duplicates uint64 // consumed since the start

	WindowEntries int
	WindowBytes   int64
	WindowReach   time.Duration // how far back copies are recognized
	WindowDropped uint64        // ids forgotten before their time, for WindowEntries
}

// Status describes every partition.
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
	s := PartitionStatus{
		Partition: p.id, Base: p.base, Through: position.Offset{Epoch: epochAt(p.epochs, p.next), Seq: p.next},
		Epoch: p.epochs[len(p.epochs)-1].Epoch, Boundary: p.open.start, Snapshot: saved.next, Segments: len(p.closed),
		Groups: p.open.groups(),
		Bytes:  t.closedBytes + t.openBytes, Stalled: p.state.stalled, Failed: p.state.failed,
		Messages: t.messages, Events: t.events, Duplicates: t.duplicates,
		WindowEntries: t.window.entries, WindowBytes: t.window.bytes, WindowReach: t.window.reach,
		WindowDropped: t.window.dropped,
	}
	if t.appended != 0 {
		s.Appended = time.UnixMicro(t.appended).UTC()
	}
	for _, c := range p.closed {
		s.Groups += c.groups()
	}
	return s
}
