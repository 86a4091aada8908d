package ingest

import (
	"bytes"
	"slices"

	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/problem"
)

// letters are the dead letters of one request: what it sent and will not see counted.
// They are events of a type of their own on the same way into the log, beside the
// request's good events and never in their place: whatever does not go well with a
// letter is counted, and the answer stays what it would be without letters.
type letters struct {
	typ    *eventType
	rates  *rates
	row    row // scratch
	open   []*chunk
	chunks []*chunk
	whole  string // name of the letter that holds the whole request

	kept    int
	dropped [dropReasons]int
}

// dropReason is why a letter was not kept.
type dropReason int

const (
	// more came than dead_letters.max_per_second, or too many bytes, of all or of the tenant
	dropRate   dropReason = iota
	dropMemory            // the memory for requests is used up
	dropQueue             // the log is busy with good events
	dropLog               // the log did not take it
	dropReasons
)

var dropNames = [dropReasons]string{"rate", "memory", "queue", "log"}

// wholeRequest is the index of a letter that holds a request instead of an event.
const wholeRequest = -1

// keep makes a letter of the bytes that f refuses. What the decoder has read of the
// event goes with it.
func (q *request) keep(raw []byte, index int, f *fault) {
	l := &q.letters
	kept, truncated := deadletter.Cut(raw, q.cfg.EventBytes)
	if !l.rates.take(q.dec.tenant, len(kept), q.dec.now) {
		l.dropped[dropRate]++
		return
	}
	l.fill(q.dec, raw, kept, f)
	l.set(deadletter.FieldIndex, int64(index), index != wholeRequest)
	l.set(deadletter.FieldTruncated, bit(truncated), true)
	q.dec.capValues(l.typ, &l.row)
	size := l.typ.rowBytes(&l.row, len(q.dec.tenant))
	if f := q.charge(size); f != nil {
		q.used -= size
		l.dropped[dropMemory]++
		return
	}
	p := l.row.key.Partition(q.partitions)
	c := q.chunk(&l.open[p], &l.chunks, l.typ, p, size)
	c.append(&l.row, size)
	c.index = append(c.index, int32(index))
}

// fill puts all but the place into the row.
func (l *letters) fill(d *decoder, raw, kept []byte, f *fault) {
	l.row.slots = l.row.slots[:len(l.typ.fields)]
	clear(l.row.slots)
	digest := deadletter.Digest(string(f.code), raw)
	l.row.id = []byte(deadletter.EventID(digest))
	l.row.key = eventbatch.KeyOf(d.tenant, view(l.row.id))
	l.row.time = d.now
	l.row.flags = eventbatch.FlagTimeAssigned
	l.row.hash = deadletter.PayloadHash(digest)
	l.row.source = legible(d.attrs[attrSource])
	l.text(deadletter.FieldCode, []byte(f.code))
	l.text(deadletter.FieldMessage, legible([]byte(f.msg)))
	l.text(deadletter.FieldEventID, legible(d.attrs[attrID]))
	l.text(deadletter.FieldEventType, legible(d.attrs[attrType]))
	l.text(deadletter.FieldEventTime, legible(d.attrs[attrTime]))
	l.set(deadletter.FieldBytes, int64(len(raw)), true)
	l.set(deadletter.FieldStrict, bit(d.strict), true)
	text, encoded := deadletter.Encode(kept)
	l.text(deadletter.FieldRaw, text)
	l.text(deadletter.FieldRawBase64, encoded)
}

// text sets a string field; nil is null.
func (l *letters) text(field string, value []byte) {
	if value != nil {
		l.row.slots[l.typ.byName[field]] = slot{state: present, text: value}
	}
}

func (l *letters) set(field string, value int64, valid bool) {
	if valid {
		l.row.slots[l.typ.byName[field]] = slot{state: present, num: value}
	}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// legible is what a column can hold of hostile bytes, short and valid UTF-8, and null for none.
func legible(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	b, _ = deadletter.Cut(b, MaxAttribute)
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}

// forget drops the letters made so far.
func (l *letters) forget() {
	kept := 0
	for _, c := range l.chunks {
		if kept += c.bytes; kept > keepBody {
			break // As with the events of a huge request.
		}
		c.recycle()
	}
	clear(l.open)
	clear(l.chunks)
	l.chunks = l.chunks[:0]
}

// recycle makes the letters ready for the next request.
func (l *letters) recycle() {
	l.forget()
	l.whole = ""
	l.kept = 0
	l.dropped = [dropReasons]int{}
}

// deliver queues the letters for which there is room beside good events. Those count
// for the request's done.
func (s *Server) deliver(q *request) {
	for _, c := range q.letters.chunks {
		queue := s.committers[c.partition].queue
		if !queue.reserveSpare(c) {
			c.fault = &fault{code: problem.Overloaded}
			q.letters.dropped[dropQueue] += c.n
			continue
		}
		c.done.Add(1)
		queue.push(c)
	}
}

// collect names the letters that are in the log, in the rejections they are of.
func (q *request) collect() {
	for _, c := range q.letters.chunks {
		switch {
		case c.fault == nil:
			q.letters.kept += c.n
		case c.fault.code != problem.Overloaded:
			q.letters.dropped[dropLog] += c.n
		}
		for i, index := range c.index {
			if c.fault != nil {
				break
			}
			name := deadletter.Name{Partition: c.partition, Seq: c.seq, Index: c.first + i}.String()
			if index == wholeRequest {
				q.letters.whole = name
			} else if at, ok := slices.BinarySearchFunc(q.rejected, int(index),
				func(r rejection, i int) int { return r.index - i }); ok {
				q.rejected[at].letter = name
			}
		}
	}
}

// keepWhole keeps a request that could not be taken apart as a single letter, instead of
// those of its events: the sender has to send all of it again.
func (s *Server) keepWhole(q *request, f *fault) {
	q.letters.forget()
	if bytes.IndexByte(bytes.TrimLeft(q.body, " \t\r\n"), '{') != 0 {
		q.dec.reset() // The event that was being read is one of many.
	}
	q.keep(q.body, wholeRequest, f)
	s.deliver(q)
	q.done.Wait()
	q.collect()
}
