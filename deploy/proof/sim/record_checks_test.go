package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// createRecord is the effect of a create-only write. Its errors carry the HTTP status of an answer.
func (w *world) createRecord(key string, body []byte) error {
	if _, there := w.records[key]; there && !w.overwrites {
		w.observe("two processes create the same record below " + key[:strings.IndexByte(key, '/')])
		return status(412)
	}
	w.records[key] = stored{body, time.Now(), w.ticks}
	body, err := record.CheckDigest(body)
	if err != nil {
		w.failf("create %s: %v", key, err)
	}
	var p, e int
	var start uint64
	if n, _ := fmt.Sscanf(key, "land/e%d/p%d/%d.json", &e, &p, &start); n == 3 {
		w.checkCommit(p, body)
	} else if c, err := record.DecodePublication(body); err == nil {
		w.checkPublication(c, body)
	}
	return nil
}

// checkCommit compares a new commit record with the log (V1, V10).
func (w *world) checkCommit(p int, body []byte) {
	c, err := record.DecodeCommit(body)
	if err != nil {
		w.failf("partition %d: %v", p, err)
		return
	}
	l := &w.logs[p]
	if c.Kind == record.Seal {
		if c.Next.Epoch > 1 {
			w.observe("an epoch is sealed")
		}
		l.epoch = c.Next.Epoch
		return
	}
	if c.Kind == record.Hole {
		w.checkHole(p, c)
		return
	}
	if c.Start != l.chainHead && !w.overwrites {
		w.failf("partition %d: a commit record of [%d, %d), but the chain ends at %d", p, c.Start, c.End, l.chainHead)
	}
	events := int64(0)
	for seq := c.Start; seq < c.End; seq++ {
		if m := l.lost[seq]; l.messages[seq] == nil && m != nil {
			w.observe("a lost message lands")
			l.messages[seq] = m // A process that survived the power failure landed it.
		}
		m := l.messages[seq]
		if m == nil {
			w.failf("partition %d: message %d landed but was never in the log", p, seq)
			return
		}
		events += int64(len(m.events))
	}
	if events != c.Events {
		w.failf("partition %d: [%d, %d) landed with %d events, but the log has %d", p, c.Start, c.End, c.Events, events)
	}
	l.chainHead = c.End
	w.segments = append(w.segments, c)
	l.boundaries[c.End] = true
}

// checkHole compares the record of a hole with the log (C7). What it gives up counts nowhere from then on.
func (w *world) checkHole(p int, c *record.Commit) {
	l := &w.logs[p]
	if c.Start != l.chainHead || c.Start != l.vanished || c.End != l.vanished+1 {
		w.failf("partition %d: [%d, %d) is given up, but message %d vanished and the chain ends at %d", p, c.Start,
			c.End, l.vanished, l.chainHead)
		return
	}
	w.observe("a range is given up")
	w.tracef("messages [%d, %d) of partition %d are given up", c.Start, c.End, p)
	w.holes++
	l.epoch = c.Next.Epoch
	l.chainHead = c.End
	l.givenUp = c.End
	l.boundaries[c.End] = true
	l.hole = l.messages[c.Start]
	delete(l.messages, c.Start)
}

// checkPublication applies a new publication to the chain of publications (V5).
func (w *world) checkPublication(b *record.Publication, body []byte) {
	s := record.EmptyState(partitions)
	if n := len(w.states); n > 0 {
		s = w.states[n-1]
	}
	if b.N <= s.N { // Its key is free because it was forgotten. The publisher must see that it comes too late.
		w.observe("a forgotten publication is created again")
		return
	}
	next, err := s.Apply(body)
	if err != nil {
		w.failf("publication %d: %v", b.N, err)
		return
	}
	if err := w.checkGeneration(s, next); err != nil {
		w.failf("%v", err)
	}
	for p, h := range next.H {
		if !w.logs[p].boundaries[h.Seq] {
			w.failf("publication %d: cut %d of partition %d is not a boundary of the commit chain", b.N, h.Seq, p)
		}
	}
	w.checkFills(s, next)
	w.checkNewRows(s, next)
	if w.wrongRows() != nil {
		w.rowsDamaged = true
	}
	w.states = append(w.states, next)
	w.tracef("publication %d covers %v", b.N, next.H)
	if w.rowsDamaged && w.wrongRows() == nil {
		w.rowsDamaged = false
		w.observe("a publication restores damaged rows")
	}
}

// checkNewRows checks that ClickHouse has the rows which a publication names and the one before does not (B5). Nothing
// damages rows that no publication names.
func (w *world) checkNewRows(before, now *record.State) {
	for name, view := range now.Views {
		known := map[record.BucketVersion]bool{}
		if old := before.Views[name]; old.Digest == view.Digest {
			for _, b := range old.Buckets {
				known[b] = true
			}
		}
		table := sqlschema.Table(&catalog.View{Name: name}, view.Digest)
		for _, b := range view.Buckets {
			if got := w.content(table, b.Bucket, b.Ver); !known[b] && got != b {
				w.failf("publication %d names %d rows of view %s, bucket %d, that were not read back: ClickHouse has "+
					"%d", now.N, b.Rows, name, b.Bucket, got.Rows)
			}
		}
	}
}

// checkFills checks that a publication fills each view down to where the one before did, or further (B8).
func (w *world) checkFills(before, now *record.State) {
	for name, v := range now.Views {
		old, there := before.Views[name]
		switch {
		case !there || old.Digest != v.Digest || old.Fill == nil && v.Fill == nil:
			continue
		case old.Fill == nil || v.Fill != nil && v.Fill.From > old.Fill.From:
			w.failf("publication %d fills view %s to %v, and the one before to %v", now.N, name, v.Fill, old.Fill)
		case v.Fill == nil:
			w.observe("a view is filled in steps")
		}
	}
}

// addPin records that a publication is pinned.
func (w *world) addPin(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pinned = append(w.pinned, n)
}

// pins returns the pinned publications.
func (w *world) pins() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pinned)
}

// keptPublications returns the publications whose rows and objects P3 forbids to collect.
func (w *world) keptPublications() (kept []*record.State) {
	pinned := w.pins()
	for i, s := range w.states {
		newest := i >= len(w.states)-keep
		if newest || slices.Contains(pinned, s.N) || time.Since(w.states[i+1].Publication.Created) < 2*longestQuery {
			kept = append(kept, s)
		}
	}
	return kept
}

// forget checks that no kept publication needs publication n, whose record is deleted: those from the last base
// before a kept one on (P3).
func (w *world) forget(n uint64) {
	w.observe("old publications are forgotten")
	for _, s := range w.keptPublications() {
		first := s.N
		for first > 1 && !w.states[first-1].Publication.Base {
			first--
		}
		if first <= n && n <= s.N {
			w.failf("publication %d is deleted, which publication %d needs (P3)", n, s.N)
		}
	}
}
