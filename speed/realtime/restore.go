package realtime

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/position"
)

// restore brings the partition to where it can go on: to its newest usable snapshot,
// else to the oldest kept publication with an empty window (S5).
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
		p.logger.Warn("snapshot not used", "file", name, "reason", err)
	}
	p.floor = p.replay
	p.reset(p.floor, newIDWindow(p.cfg, p.bucket, p.floor))
	return nil
}

// usable returns why a snapshot may hold other messages than the log does, or nil.
func (p *partition) checkUsable(s *snapshot, logNext uint64) error {
	switch {
	case failpoint.Off(failpoint.S5):
		return nil
	case s.partition != p.id || s.partitionCount != p.partitionCount || s.bucket != p.bucket.Microseconds():
		return fmt.Errorf("it is of partition %d of %d with buckets of %d µs", s.partition, s.partitionCount, s.bucket)
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

// adopt takes the snapshot's window and, where its views are the ones configured and
// reach back to the oldest kept publication, its segments. Otherwise everything from there
// on is counted again, so what the window admitted from there on is forgotten first. A log
// that no longer has what follows the snapshot, or what is to be counted again, is
// counted from where it is whole.
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
	p.logger.Info("real-time views are counted again", "from", start, "snapshot", s.next)
	p.reset(start, restoredWindow(p.cfg, p.bucket, s))
	p.snapshots.saved.next = s.next
	return nil
}

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
	return p.retain(floor)
}

// restoredWindow is the window of a snapshot with its index built.
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

// checkEpochs returns what is wrong with a schedule of epochs that must cover start.
func checkEpochs(epochs []position.EpochStart, start uint64) error {
	bad := len(epochs) == 0 || epochs[0].Start > start
	for i := 1; i < len(epochs); i++ {
		bad = bad || epochs[i].Start < epochs[i-1].Start || epochs[i].Epoch <= epochs[i-1].Epoch
	}
	if bad {
		return fmt.Errorf("epochs %v do not cover sequence %d in order", epochs, start)
	}
	return nil
}
