package realtime

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

// restore makes the partition ready to read: from its newest usable snapshot or, without one, from
// the oldest kept publication with an empty window (S5).
func (p *partition) restore(logNext uint64) error {
	if err := p.snapshots.removeTemporary(); err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	names, err := p.snapshots.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		snap, err := p.snapshots.read(name, p.plan)
		if err != nil && !errors.Is(err, errSnapshot) {
			return err
		}
		if err == nil {
			err = p.checkUsable(snap, logNext)
		}
		if err == nil {
			if err = p.adopt(snap); err == nil {
				return nil
			}
		}
		p.logger.Warn("snapshot is not used", "file", name, "reason", err)
	}
	p.floor = p.replay
	p.reset(p.floor, newIDWindow(p.cfg, p.bucket, p.floor))
	return nil
}

// checkUsable returns why a snapshot may have counted other messages than those of the log, or nil.
func (p *partition) checkUsable(s *snapshot, logNext uint64) error {
	switch {
	case failpoint.Off(failpoint.S5):
		return nil
	case s.partition != p.id || s.partitionCount != p.partitionCount || s.bucket != p.bucket.Microseconds():
		return fmt.Errorf("it is of partition %d of %d with buckets of %d µs, not of partition %d of %d with %d µs",
			s.partition, s.partitionCount, s.bucket, p.id, p.partitionCount, p.bucket.Microseconds())
	case s.next > logNext:
		return fmt.Errorf("it ends at %d and the log at %d: it counted lost messages (L5)", s.next, logNext)
	case len(s.epochs) > len(p.epochs) || !slices.Equal(s.epochs, p.epochs[:len(s.epochs)]):
		return fmt.Errorf("it was taken under other epochs or cut rules: %v, now %v", s.epochs, p.epochs)
	case len(s.epochs) < len(p.epochs) && s.next > p.epochs[len(s.epochs)].Start:
		return fmt.Errorf("it ends at %d, after epoch %d began at %d: it may have counted lost messages (L5)",
			s.next, p.epochs[len(s.epochs)].Epoch, p.epochs[len(s.epochs)].Start)
	}
	return nil
}

// adopt uses the snapshot's window. It also uses the segments if they are of the configured views and
// reach back to the oldest kept publication. Otherwise the messages from that publication on are
// counted again, and the window first forgets what it admitted from there on. If the log no longer
// has the messages to read, the partition starts where the log is whole.
func (p *partition) adopt(s *snapshot) error {
	follows := s.next >= p.replay || p.replay == p.floor
	if follows && slices.Equal(s.views, p.plan.viewIDs()) && s.base <= p.floor {
		return p.resume(s)
	}
	p.floor = p.replay
	start := min(s.next, p.floor)
	if !s.truncate(start) {
		return fmt.Errorf("replay from %d: %w (S2)", start, ErrNotBoundary)
	}
	p.logger.Info("the real-time views are counted again", "from", start, "snapshot", s.next)
	p.reset(start, restoredWindow(p.cfg, p.bucket, s))
	p.snapshots.saved.next = s.next
	p.snapshots.blocks = s.blocks
	p.snapshots.lineage = s.ring.lineage
	return nil
}

// resume makes the snapshot the state of the partition.
func (p *partition) resume(s *snapshot) error {
	if end := p.floor; end < s.next && end != s.base &&
		!slices.ContainsFunc(s.segments, func(g *segment) bool { return g.start == end }) {
		return fmt.Errorf("oldest kept publication ends at %d: %w (S2)", end, ErrNotBoundary)
	}
	floor := p.floor
	p.reset(s.next, restoredWindow(p.cfg, p.bucket, s))
	p.base = s.base
	p.closed = s.segments
	for _, g := range p.closed {
		p.totals.closedBytes += g.bytes()
		p.totals.appended = max(p.totals.appended, g.appended)
	}
	p.snapshots.saved.next = s.next
	p.snapshots.blocks = s.blocks
	p.snapshots.lineage = s.ring.lineage
	return p.retain(floor)
}

// restoredWindow returns the window of a snapshot with an index.
func restoredWindow(c Config, bucket time.Duration, s *snapshot) *idWindow {
	w := newIDWindow(c, bucket, s.next)
	w.ring = s.ring
	w.marks = s.marks
	if over := w.ring.len() - int(c.WindowEntries); over > 0 {
		w.ring.forget(w.ring.first + uint64(over))
	}
	w.buildIndex()
	return w
}

// checkEpochs returns an error if the epochs are not in order or do not cover start.
func checkEpochs(epochs []position.EpochStart, start uint64) error {
	bad := len(epochs) == 0 || epochs[0].Start > start
	for i := 1; i < len(epochs); i++ {
		bad = bad || epochs[i].Start < epochs[i-1].Start || epochs[i].Epoch <= epochs[i-1].Epoch
	}
	if bad {
		return fmt.Errorf("the epochs %v are not in order or do not cover sequence %d", epochs, start)
	}
	return nil
}
