package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/record"
)

// create is the effect of a create-only write; errors have the status of an answer.
func (w *world) create(key string, body []byte) error {
	if _, there := w.records[key]; there && !w.overwrites {
		w.meet("two meet at a record below " + key[:strings.IndexByte(key, '/')])
		return status(412)
	}
	w.records[key] = stored{body, time.Now(), w.ticks}
	body, err := record.CheckDigest(body)
	if err != nil {
		w.fail("create %s: %v", key, err)
	}
	var p, e int
	var start uint64
	if n, _ := fmt.Sscanf(key, "land/e%d/p%d/%d.json", &e, &p, &start); n == 3 {
		w.landed(p, body)
	} else if c, err := record.DecodePublication(body); err == nil {
		w.published(c, body)
	}
	return nil
}

// landed compares a new record with the log (V1, V10).
func (w *world) landed(p int, body []byte) {
	c, err := record.DecodeCommit(body)
	if err != nil {
		w.fail("partition %d: %v", p, err)
		return
	}
	l := &w.logs[p]
	if c.Kind == record.Seal {
		if c.Next.Epoch > 1 {
			w.meet("an epoch is sealed")
		}
		l.epoch = c.Next.Epoch
		return
	}
	if c.Start != l.head && !w.overwrites {
		w.fail("partition %d: a record of [%d, %d), the chain ends at %d", p, c.Start, c.End, l.head)
	}
	events := int64(0)
	for seq := c.Start; seq < c.End; seq++ {
		if m := l.lost[seq]; l.line[seq] == nil && m != nil {
			w.meet("a lost message lands")
			l.line[seq] = m // A process that outlived the power landed it.
		}
		m := l.line[seq]
		if m == nil {
			w.fail("partition %d: message %d landed and never was", p, seq)
			return
		}
		events += int64(len(m.events))
	}
	if events != c.Events {
		w.fail("partition %d: [%d, %d) landed with %d events, the log has %d", p, c.Start, c.End, c.Events, events)
	}
	l.head = c.End
	w.segments = append(w.segments, c)
	l.boundaries[c.End] = true
}

// published follows the chain of publications (V5).
func (w *world) published(b *record.Publication, body []byte) {
	s := record.EmptyState(partitions)
	if n := len(w.states); n > 0 {
		s = w.states[n-1]
	}
	next, err := s.Apply(body)
	if err != nil {
		w.fail("publication %d: %v", b.N, err)
		return
	}
	for p, h := range next.H {
		if !w.logs[p].boundaries[h.Seq] {
			w.fail("publication %d: cut %d of partition %d is no boundary of the chain", b.N, h.Seq, p)
		}
	}
	if w.missing() != nil {
		w.unhealed = true
	}
	w.states = append(w.states, next)
	w.note("publication %d covers %v", b.N, next.H)
	if w.unhealed && w.missing() == nil {
		w.unhealed = false
		w.meet("a publication brings lost rows back")
	}
}

// pins notes pins, and returns all there are.
func (w *world) pins(more ...uint64) []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pinned = append(w.pinned, more...)
	return slices.Clone(w.pinned)
}

// kept are the publications that nobody may collect from, by the letter of P3.
func (w *world) kept() (kept []*record.State) {
	pinned := w.pins()
	for i, s := range w.states {
		last := i >= len(w.states)-keep
		if last || slices.Contains(pinned, s.N) || time.Since(w.states[i+1].Publication.Created) < 2*longestQuery {
			kept = append(kept, s)
		}
	}
	return kept
}
