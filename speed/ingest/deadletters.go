package ingest

import (
	"bytes"
	"slices"

	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/problem"
)

// deadLetters are the dead letters of one request: what it sent and what will not count.
//
// They are events of a type of their own, and enter the log like the request's good events,
// but never take their place. A dead letter that cannot be kept is counted, and the answer is
// what it would be without dead letters.
type deadLetters struct {
	eventType  *eventType
	rates      *rates
	row        row // scratch memory
	openChunks []*chunk
	chunks     []*chunk
	wholeName  string // name of the dead letter that holds the whole request

	kept    int
	dropped [dropReasons]int
}

// dropReason is why a dead letter was not kept.
type dropReason int

const (
	dropRate   dropReason = iota // the process or the tenant is beyond its rate, in number or in bytes
	dropMemory                   // the memory for requests is used up
	dropQueue                    // the log is busy with good events
	dropLog                      // the log refused it
	dropReasons
)

var dropNames = [dropReasons]string{"rate", "memory", "queue", "log"}

// wholeRequest is the index of a dead letter that holds a request instead of an event.
const wholeRequest = -1

// keepDeadLetter makes a dead letter of refused bytes. It also holds what the decoder has
// read of the event.
func (q *request) keepDeadLetter(raw []byte, index int, refused *rejection) {
	l := &q.deadLetters
	kept, truncated := deadletter.Cut(raw, q.cfg.EventBytes)
	if !l.rates.allow(q.decoder.tenant, len(kept), q.decoder.now) {
		l.dropped[dropRate]++
		return
	}
	l.fill(q.decoder, raw, kept, refused)
	if index != wholeRequest {
		l.setNumber(deadletter.FieldIndex, int64(index))
	}
	l.setNumber(deadletter.FieldTruncated, bit(truncated))
	q.decoder.capValues(l.eventType, &l.row)
	size := l.eventType.rowBytes(&l.row, len(q.decoder.tenant))
	if p := q.charge(size); p != nil {
		q.used -= size
		l.dropped[dropMemory]++
		return
	}
	partition := l.row.key.Partition(q.partitions)
	c := q.chunk(&l.openChunks[partition], &l.chunks, l.eventType, partition, size)
	c.append(&l.row, size)
	c.indexes = append(c.indexes, int32(index))
}

// fill sets everything in the row that does not depend on the event's place in the request.
func (l *deadLetters) fill(d *decoder, raw, kept []byte, refused *rejection) {
	l.row.slots = l.row.slots[:len(l.eventType.fields)]
	clear(l.row.slots)
	digest := deadletter.Digest(string(refused.code), raw)
	l.row.id = []byte(deadletter.EventID(digest))
	l.row.time = d.now
	l.row.flags = eventbatch.FlagTimeAssigned
	l.row.hash = deadletter.PayloadHash(digest)
	l.row.source = sanitize(d.attributes[attrSource])
	l.row.key = d.identity.Key(d.tenant, unsafeString(l.row.source), unsafeString(l.row.id))
	l.setText(deadletter.FieldCode, []byte(refused.code))
	l.setText(deadletter.FieldMessage, sanitize([]byte(refused.message)))
	l.setText(deadletter.FieldEventID, sanitize(d.attributes[attrID]))
	l.setText(deadletter.FieldEventType, sanitize(d.attributes[attrType]))
	l.setText(deadletter.FieldEventTime, sanitize(d.attributes[attrTime]))
	l.setNumber(deadletter.FieldBytes, int64(len(raw)))
	l.setNumber(deadletter.FieldStrict, bit(d.strict))
	text, encoded := deadletter.Encode(kept)
	l.setText(deadletter.FieldRaw, text)
	l.setText(deadletter.FieldRawBase64, encoded)
}

// setText sets a string field. A nil value is null.
func (l *deadLetters) setText(field string, value []byte) {
	if value != nil {
		l.row.slots[l.eventType.byName[field]] = slot{state: present, text: value}
	}
}

func (l *deadLetters) setNumber(field string, value int64) {
	l.row.slots[l.eventType.byName[field]] = slot{state: present, number: value}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// sanitize returns the part of hostile bytes that a column can hold: short, valid UTF-8, and
// null if there are none.
func sanitize(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	b, _ = deadletter.Cut(b, MaxAttribute)
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}

// forget drops the dead letters that were made so far.
func (l *deadLetters) forget() {
	kept := 0
	for _, c := range l.chunks {
		if kept += c.bytes; kept > maxKeptBuffer {
			break // The garbage collector frees the rest, as for the events of a huge request.
		}
		c.recycle()
	}
	clear(l.openChunks)
	clear(l.chunks)
	l.chunks = l.chunks[:0]
}

// recycle makes l ready for the next request.
func (l *deadLetters) recycle() {
	l.forget()
	l.wholeName = ""
	l.kept = 0
	l.dropped = [dropReasons]int{}
}

// queueDeadLetters queues the dead letters for which there is room beside good events. The
// request waits for these too.
func (s *Server) queueDeadLetters(q *request) {
	for _, c := range q.deadLetters.chunks {
		queue := s.committers[c.partition].queue
		if !queue.reserveSpare(c) {
			c.rejection = &rejection{code: problem.Overloaded}
			q.deadLetters.dropped[dropQueue] += c.n
			continue
		}
		c.done.Add(1)
		queue.push(c)
	}
}

// nameDeadLetters counts the dead letters that are in the log, and writes their names into
// the rejections of their events.
func (q *request) nameDeadLetters() {
	for _, c := range q.deadLetters.chunks {
		if c.rejection != nil {
			if c.rejection.code != problem.Overloaded {
				q.deadLetters.dropped[dropLog] += c.n
			}
			continue
		}
		q.deadLetters.kept += c.n
		for i, index := range c.indexes {
			name := deadletter.Name{Partition: c.partition, Seq: c.seq, Index: c.first + i}.String()
			if index == wholeRequest {
				q.deadLetters.wholeName = name
			} else if at, ok := slices.BinarySearchFunc(q.rejected, int(index),
				func(e rejectedEvent, i int) int { return e.index - i }); ok {
				q.rejected[at].deadLetter = name
			}
		}
	}
}

// keepWhole keeps a request that is not JSON as a single dead letter. It replaces the dead
// letters of single events, because the sender has to send the whole request again.
func (s *Server) keepWhole(q *request, p *problem.Problem) {
	q.deadLetters.forget()
	if !q.mayKeep() {
		return
	}
	if bytes.IndexByte(bytes.TrimLeft(q.body, " \t\r\n"), '{') != 0 {
		q.decoder.reset() // The body holds many events, so the event that was being read says nothing about it.
	}
	q.keepDeadLetter(q.body, wholeRequest, &rejection{p.Code, p.Detail})
	s.queueDeadLetters(q)
	q.done.Wait()
	q.nameDeadLetters()
}
