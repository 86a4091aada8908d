package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recount/schemas/problem"
)

// request is the state of one request, reused for later ones.
type request struct {
	cfg        *Config
	budget     *budget
	mine       *atomic.Int64 // what the tenant holds of it
	partitions int
	types      int

	paid, used int // bytes of the budget, and how many columns take of them
	body       []byte
	dec        *decoder
	open       []*chunk // the chunk being filled, by partition and type
	chunks     []*chunk // all of them
	rejected   []rejection
	letters    letters // what becomes of the rejected
	events     int     // seen so far
	done       sync.WaitGroup
	out        []byte
}

// recycle returns all memory the request holds. No committer may still have its chunks.
func (q *request) recycle() {
	kept := 0
	for _, c := range q.chunks {
		if kept += c.bytes; kept > keepBody {
			break // The rest of a huge request is left to the garbage collector.
		}
		c.recycle()
	}
	clear(q.open)
	clear(q.chunks)
	clear(q.rejected)
	q.letters.recycle()
	q.chunks = q.chunks[:0]
	q.rejected = q.rejected[:0]
	q.events = 0
	if cap(q.body) > keepBody {
		q.body = nil
	}
	if cap(q.out) > keepBody {
		q.rejected = nil
		q.out = nil
	}
	q.budget.give(q.mine, q.paid)
	q.paid = 0
	q.used = 0
}

// decode turns the body into chunks and rejections. A fault refuses the whole request.
func (q *request) decode(kind contentKind, h http.Header, now time.Time) *fault {
	d := q.dec
	d.start(q.body, kind.strict(), now)
	if kind == kindLines {
		return q.lines()
	}
	if kind == kindBinary {
		f := d.binary(h, q.body)
		var raw []byte
		if f != nil {
			raw = inOnePiece(h, q.body)
		}
		return q.add(raw, f)
	}
	first := d.next()
	if first == '[' && kind != kindObject {
		return q.array()
	}
	if first != '{' || kind == kindBatch {
		return &fault{code: problem.InvalidJSON, status: http.StatusBadRequest,
			msg: "the body is not " + kind.expects()}
	}
	if f := q.next(); f != nil {
		return f
	}
	return q.end()
}

// next decodes the event at the current position of a body that is one JSON text.
// Where that is not JSON there is no telling what follows, so the request is refused.
func (q *request) next() *fault {
	q.dec.next()
	from := q.dec.pos
	f := q.dec.event()
	if f != nil && f.code == problem.InvalidJSON {
		return q.malformed(f.msg)
	}
	return q.add(q.body[from:q.dec.pos], f)
}

func (q *request) array() *fault {
	d := q.dec
	d.pos++
	if d.next() == ']' {
		d.pos++
		return q.end()
	}
	for {
		if f := q.next(); f != nil {
			return f
		}
		c := d.next()
		d.pos++
		switch c {
		case ',':
		case ']':
			return q.end()
		default:
			return q.malformed("an event must be followed by a comma or a closing bracket")
		}
	}
}

// end checks that nothing follows the events.
func (q *request) end() *fault {
	if d := q.dec; d.next() != 0 || d.pos < len(d.buf) {
		return q.malformed("there is more behind the last event")
	}
	return nil
}

func (q *request) malformed(msg string) *fault {
	return &fault{code: problem.InvalidJSON, status: http.StatusBadRequest,
		msg: fmt.Sprintf("after event %d: %s", q.events, msg)}
}

// lines decodes one event a line; a broken line costs only itself. Empty lines are not events.
func (q *request) lines() *fault {
	rest := q.body
	for len(rest) > 0 {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i]
			rest = rest[i+1:]
		} else {
			rest = nil
		}
		d := q.dec
		d.buf = line
		d.pos = 0
		if d.next() == 0 && d.pos == len(line) {
			continue
		}
		f := d.event()
		if (f == nil || f.code != problem.InvalidJSON) && (d.next() != 0 || d.pos < len(line)) {
			f = &fault{code: problem.InvalidJSON, msg: "there is more on the line behind the event"}
		}
		if f := q.add(line, f); f != nil {
			return f
		}
	}
	return nil
}

// count counts one more event of the request.
func (q *request) count() *fault {
	if q.events == q.cfg.Events {
		return &fault{code: problem.TooManyEvents, status: http.StatusRequestEntityTooLarge,
			msg: fmt.Sprintf("more than %d events in one request; split it", q.cfg.Events)}
	}
	q.events++
	return nil
}

// add stores the decoder's event, or notes why it is refused and keeps raw, the bytes it
// came in. The fault returned refuses the request.
func (q *request) add(raw []byte, refused *fault) *fault {
	if f := q.count(); f != nil {
		return f
	}
	if refused == nil {
		return q.store(q.events - 1)
	}
	id := q.dec.id()
	q.reject(q.events-1, id, refused)
	if f := q.charge(answerCost(len(id), len(refused.msg))); f != nil {
		return f
	}
	q.keep(raw, q.events-1, refused)
	return nil
}

func (q *request) reject(index int, id string, f *fault) {
	q.rejected = append(q.rejected, rejection{index: index, id: id, code: f.code, msg: f.msg})
}

// store appends the decoder's row to the chunk of its partition and type (L3).
func (q *request) store(index int) *fault {
	d := q.dec
	size := d.typ.rowBytes(&d.row, len(d.tenant))
	if f := q.charge(size + answerCost(len(d.row.id), 0)); f != nil {
		return f
	}
	p := d.row.key.Partition(q.partitions)
	c := q.chunk(&q.open[p*q.types+d.typ.index], &q.chunks, d.typ, p, size)
	c.append(&d.row, size)
	c.index = append(c.index, int32(index))
	return nil
}

// chunk returns the open chunk if size bytes more fit into it. A chunk that would outgrow
// a group is left as it is and another one begun, so no chunk ever needs splitting.
func (q *request) chunk(open **chunk, all *[]*chunk, t *eventType, partition, size int) *chunk {
	c := *open
	if c == nil || c.n == q.cfg.GroupEvents || c.bytes+size > q.cfg.GroupBytes && c.n > 0 {
		c = t.chunks.Get().(*chunk)
		c.partition = partition
		c.tenant = q.dec.tenant
		c.done = &q.done
		*open = c
		*all = append(*all, c)
	}
	return c
}

// settle waits until every chunk is in the log or refused, then returns how many
// events are durable and where. It turns failed chunks into rejections.
func (q *request) settle(epochs []uint32) (accepted int, places []Place) {
	q.done.Wait()
	q.collect()
	for _, c := range q.chunks {
		if c.fault == nil {
			accepted += c.n
			places = append(places, Place{Partition: c.partition, Epoch: epochs[c.partition], Seq: c.seq,
				First: c.first, Count: c.n})
			continue
		}
		for i, index := range c.index {
			q.reject(int(index), string(c.id.value(i)), c.fault)
		}
	}
	slices.SortFunc(q.rejected, func(a, b rejection) int { return a.index - b.index })
	return accepted, places
}
