package realtime

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
)

// partition holds the real-time views of one partition of the log. Its goroutine alone reads the log
// and uses the cutter, the window and the scratch memory. That goroutine changes the fields that mu
// guards; Retain and Renew change some of them too.
type partition struct {
	id             int
	cfg            Config
	bucket         time.Duration
	partitionCount int
	epochs         []position.EpochStart
	budget         int64  // share of Config.Memory in bytes
	replay         uint64 // where a replay begins, from Open or Renew
	source         Source
	logger         *slog.Logger
	wake           chan struct{} // receives when Retain freed memory or Renew was called
	cutter         *position.Cutter
	window         *idWindow
	nextFrozen     frozenWindow // the window before the consumed message, if that begins a segment
	logEnd         logEnd
	scratch        scratch

	mu     sync.RWMutex
	plan   *plan
	base   uint64 // first message of the aggregates; a boundary (S4)
	floor  uint64 // H of the oldest kept publication: messages before it are marked as seen and not counted
	next   uint64 // S, the first message that is not consumed
	closed []*segment
	open   *segment
	frozen frozenWindow // the window at the start of the open segment
	state  state
	totals totals

	renewal   *PartitionStart    // set by Renew, until the goroutine applies it
	successor *partition         // counts by another plan; set by redeclare, until the goroutine takes it over
	taken     chan error         // of a successor: receives what came of it
	interrupt context.CancelFunc // ends the current read
	abandon   context.CancelFunc // of an heir: ends its counting, because the catalog has changed again

	snapshots snapshots

	declared chan struct{} // receives when Declare has set wanted
	wanted   atomic.Pointer[plan]
	heir     atomic.Pointer[partition] // the partition that redeclare lets count; nil if none does
}

// state says whether and why a partition does not read the log.
type state struct {
	stalled string // why it waits; it will continue by itself
	failed  error  // why it stopped with an alarm
	ended   bool   // Run has returned
}

// totals are counts since the process started, and the present sizes.
type totals struct {
	messages, events, duplicates uint64
	closedBytes, openBytes       int64
	appended                     int64 // newest append time by the writer's clock, in microseconds
	window                       windowTotals
}

func newPartition(id, count int, cfg Config, c *catalog.Catalog, plan *plan, start PartitionStart,
	source Source) *partition {
	cfg.WindowEntries = max(1, cfg.WindowEntries/int64(count)) // its share
	p := &partition{
		id: id, partitionCount: count, cfg: cfg, bucket: c.Bucket, plan: plan, epochs: start.Epochs,
		budget: max(1, cfg.Memory/int64(count)), source: source, logger: cfg.Logger.With("partition", id),
		wake: make(chan struct{}, 1), declared: make(chan struct{}, 1), floor: start.OldestKept,
		replay: max(start.OldestKept, start.ReplayFrom),
	}
	p.snapshots = newSnapshots(cfg.Dir, cfg.Installation, id)
	p.logEnd.maxLag = cfg.MaxLag
	p.logEnd.begin(start.LogNext, false)
	return p
}

// reset empties the partition except for the window. The open segment begins at next, which must be
// a boundary.
func (p *partition) reset(next uint64, w *idWindow) {
	p.window = w
	p.cutter = position.NewCutter(p.epochs, next)
	p.base = max(next, p.floor)
	p.next = next
	p.closed = nil
	p.open = newSegment(p.plan, next)
	p.totals.closedBytes = 0
	p.totals.openBytes = p.open.bytes()
	p.frozen = w.freeze()
	p.totals.window = w.totals()
}

// consume counts the next message of the log: all of it or, with an error, nothing.
func (p *partition) consume(m eventbatch.Message) error {
	if m.Seq != p.next {
		return position.GapError{Partition: p.id, Want: p.next, Got: m.Seq}
	}
	header, batches, err := m.Decode()
	defer release(batches)
	if err != nil {
		return fmt.Errorf("message %d of type %q: %w", m.Seq, header.Type, err)
	}
	begins := p.cutter.Add(m.Cut(header)) && !failpoint.Off(failpoint.S1)
	seenFirst := failpoint.Off(failpoint.D2)
	if seenFirst { // A snapshot at m then knows m's events, although it does not count them.
		p.admit(header.Type, batches)
	}
	if begins {
		p.window.beginSegment(m.Seq)
		p.nextFrozen = p.window.freeze()
	}
	if !seenFirst {
		p.admit(header.Type, batches)
	}
	p.window.advance(header.Appended)
	return p.count(m.Seq, begins, header, batches)
}

func release(batches []eventbatch.Columns) {
	for _, c := range batches {
		c.Rec.Release()
	}
}

// admit selects the first copies in each batch. Only this goroutine uses the window, so readers need
// not wait while it is searched.
func (p *partition) admit(eventType string, batches []eventbatch.Columns) {
	x := &p.scratch
	x.first = resize(x.first, max(len(batches), len(x.first)))
	for i, c := range batches {
		x.first[i] = p.window.admit(eventType, c, x.first[i][:0])
	}
}

// count adds the message to the open segment and moves next past it. Readers see both at once.
func (p *partition) count(seq uint64, begins bool, header eventbatch.Header, batches []eventbatch.Columns) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if begins {
		p.closeSegment(seq)
	} else if seq == p.floor && seq > p.open.start {
		return fmt.Errorf("%w: %d, the end of the oldest kept publication (S2)", ErrNotBoundary, seq)
	}
	kept := 0
	types := p.plan.findTypes(header.Type)
	for i, c := range batches {
		first := p.scratch.first[i]
		kept += len(first)
		// Segments before the oldest kept publication would be evicted when they close.
		for _, t := range types {
			if seq >= p.floor {
				p.open.add(t, c, first, &p.scratch)
			}
		}
	}
	p.open.events += uint64(header.Events)
	p.open.duplicates += uint64(header.Events - kept)
	p.open.appended = max(p.open.appended, header.Appended)
	p.next = seq + 1
	p.updateTotals(header, kept)
	return nil
}

// updateTotals counts a consumed message. mu must be held.
func (p *partition) updateTotals(header eventbatch.Header, kept int) {
	t := &p.totals
	t.messages++
	t.events += uint64(header.Events)
	t.duplicates += uint64(header.Events - kept)
	t.appended = max(t.appended, header.Appended)
	t.openBytes = p.open.bytes()
	t.window = p.window.totals()
}

// closeSegment ends the open segment just before the message seq. mu must be held.
func (p *partition) closeSegment(seq uint64) {
	p.open.close(seq)
	if seq > p.base {
		p.totals.closedBytes += p.open.bytes()
		p.closed = append(p.closed, p.open)
	}
	before := p.open
	p.open = newSegment(p.plan, seq)
	if p.totals.closedBytes+before.bytes() <= p.budget { // Otherwise there is no room to reserve.
		p.open.before = before
	}
	p.frozen = p.nextFrozen
	p.nextFrozen = frozenWindow{}
}

// retain evicts every segment that ends at or before h (S3). If the partition has not reached h, its
// open segment will end at or before h too. So it is emptied, and later messages before h are not
// aggregated at all: a partition that waits for memory can continue.
func (p *partition) retain(h uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if failpoint.Off(failpoint.S3) {
		h = max(h, p.open.start)
	}
	if h <= p.base {
		return nil
	}
	n := slices.IndexFunc(p.closed, func(s *segment) bool { return s.end > h })
	if n < 0 {
		n = len(p.closed)
	}
	reached := h == p.open.start || h >= p.next || n < len(p.closed) && p.closed[n].start == h
	if !reached {
		return fmt.Errorf("evict below %d in partition %d: %w (S2)", h, p.id, ErrNotBoundary)
	}
	if h > p.open.start {
		events := p.open.events
		duplicates := p.open.duplicates
		appended := p.open.appended
		p.open = newSegment(p.plan, p.open.start)
		p.open.events = events
		p.open.duplicates = duplicates
		p.open.appended = appended
		p.totals.openBytes = p.open.bytes()
	}
	for _, s := range p.closed[:n] {
		p.totals.closedBytes -= s.bytes()
	}
	p.closed = slices.Clone(p.closed[n:])
	if b := p.open.before; b != nil && b.end <= h {
		p.open.before = nil
	}
	p.base = h
	p.floor = h
	p.wakeUp()
	return nil
}

// epochAt returns the epoch to which a sequence belongs.
func epochAt(epochs []position.EpochStart, seq uint64) (epoch uint32) {
	for _, e := range epochs {
		if e.Start <= seq {
			epoch = e.Epoch
		}
	}
	return epoch
}
