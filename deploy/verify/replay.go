package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/record"
)

// replay reads the events of all partitions in the order of their positions, each once. This is the
// definition of an answer: it knows no segments, layers or publications.
type replay struct {
	e       *Evidence
	s       *snapshot
	columns map[string][]string // columns to read besides the identity's, by event type; other types are skipped
	cursors []*cursor
}

// event is an event with its row and its position.
type event struct {
	b  *rows
	i  int
	at uint64 // sequence
	in uint64 // index in the message

	values map[string]any // the columns of an event that is held without its rows; nil of any other
	over   []string       // what overflowing returns of it
}

// cursor is the state of a partition's replay. Everything below next was read.
type cursor struct {
	partition int
	next      uint64
	segments  []*record.Commit // that are not read yet
	events    []event          // of the segment or message that was read last, in order
	log       *logCursor
	head, end uint64
	copies    []uint64 // places of the copies that are not reached yet, ascending
}

func newReplay(e *Evidence, s *snapshot, columns map[string][]string, without *copies) *replay {
	p := &replay{e: e, s: s, columns: columns}
	for i, c := range s.chains {
		p.cursors = append(p.cursors,
			&cursor{partition: i, segments: c.segments, head: c.head.Seq, end: max(s.logs[i].next, c.head.Seq)})
		if without != nil {
			p.cursors[i].copies = without.at[i]
		}
	}
	return p
}

func (p *replay) close() {
	for _, c := range p.cursors {
		c.log.close()
	}
}

// advance shows every event of a partition below to, unless it was shown before or is a copy.
func (p *replay) advance(ctx context.Context, partition int, to uint64, show func(*event)) error {
	c := p.cursors[partition]
	for {
		for len(c.events) > 0 && c.events[0].at < to {
			if e := &c.events[0]; !c.skipCopy(e) {
				show(e)
			}
			c.events = c.events[1:]
		}
		more := len(c.events) == 0 && c.next < min(to, c.end)
		if !more {
			return nil
		}
		if err := p.load(ctx, c); err != nil {
			return fmt.Errorf("replay partition %d: %w", partition, err)
		}
	}
}

// load reads the next segment, or the next message of the log after the last segment.
func (p *replay) load(ctx context.Context, c *cursor) error {
	if len(c.segments) > 0 {
		seg := c.segments[0]
		c.segments = c.segments[1:]
		c.next = seg.End
		return p.loadSegment(ctx, c, seg)
	}
	if c.next < c.head || c.log == nil {
		c.next = max(c.next, c.head)
		if c.next >= c.end {
			return nil
		}
		log, err := p.e.openLog(ctx, c.partition, c.next)
		if err != nil {
			return err
		}
		c.log = log
	}
	m, err := c.log.read(ctx)
	c.next = c.log.next
	if errors.Is(err, errUndecodable) {
		return nil // V10 reports it.
	}
	if err != nil {
		return err
	}
	for _, b := range m.rows {
		c.add(b, p.columns)
	}
	return nil
}

func (p *replay) loadSegment(ctx context.Context, c *cursor, seg *record.Commit) error {
	for _, o := range seg.Objects {
		columns, wanted := p.columns[o.Type]
		if !wanted {
			continue
		}
		err := p.e.readObject(ctx, seg, o, columns, func(b *rows) error {
			c.add(b, p.columns)
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(c.events, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.in, b.in)) })
	return nil
}

// add adds the events of rows, if their type is replayed.
func (c *cursor) add(b *rows, columns map[string][]string) {
	if _, wanted := columns[b.eventType]; !wanted {
		return
	}
	for i := range b.n {
		seq, index := b.position(i)
		c.events = append(c.events, event{b: b, i: i, at: seq, in: uint64(index)})
	}
}

// skipCopy reports whether the next event is a copy, and then moves to the next copy.
func (c *cursor) skipCopy(e *event) bool {
	if len(c.copies) == 0 || c.copies[0] != e.place() {
		return false
	}
	c.copies = c.copies[1:]
	return true
}
