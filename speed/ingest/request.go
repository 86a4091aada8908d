package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// request is the state of one request. It is used again for later requests.
type request struct {
	declared   *declared // by which decoder decodes
	cfg        *Config
	budget     *budget
	held       *atomic.Int64 // bytes that the tenant holds of budget
	partitions int
	typeCount  int

	principal    access.Principal
	bodyBytes    int // most bytes of the body
	decodedBytes int // most of them when it is decompressed

	paid         int // bytes paid for, out of budget
	used         int // bytes of them that columns and the answer need
	body         []byte
	decoder      *decoder
	openChunks   []*chunk // the chunk that is being filled, by partition and type
	chunks       []*chunk // all of them
	rejected     []rejectedEvent
	deadLetters  deadLetters
	events       int // decoded so far
	bucket       time.Duration
	touched      map[int64]struct{} // the buckets of event time of the chunks
	lastTouched  int64              // one of them, if there is any
	done         sync.WaitGroup
	answerBuffer []byte
	unknown      bool   // an event has a type that is not declared
	sawMore      bool   // an event has members that were not seen in its type before
	discovered   []byte // event types that the request has declared, for the answer
}

// recycle gives back all memory that the request holds. No committer may still have its chunks.
func (q *request) recycle() {
	kept := 0
	for _, c := range q.chunks {
		if kept += c.bytes; kept > maxKeptBuffer {
			break // The garbage collector frees the rest of a huge request.
		}
		c.recycle()
	}
	clear(q.openChunks)
	clear(q.chunks)
	clear(q.rejected)
	q.deadLetters.recycle()
	q.decoder.forgetCandidates()
	q.chunks = q.chunks[:0]
	q.rejected = q.rejected[:0]
	q.events = 0
	q.unknown = false
	q.sawMore = false
	q.discovered = q.discovered[:0]
	if len(q.touched) > maxKeptBuckets {
		q.touched = map[int64]struct{}{} // A map never gets smaller, and takes long to clear.
	}
	clear(q.touched)
	if cap(q.body) > maxKeptBuffer {
		q.body = nil
	}
	if cap(q.answerBuffer) > maxKeptBuffer {
		q.rejected = nil
		q.answerBuffer = nil
	}
	q.budget.release(q.held, q.paid)
	q.paid = 0
	q.used = 0
}

// restart forgets what was decoded, and makes the request decode by other event types. What it has paid for stays.
func (q *request) restart(d *declared) {
	for _, c := range q.chunks {
		c.recycle()
	}
	q.chunks = q.chunks[:0]
	q.rejected = q.rejected[:0]
	q.deadLetters.recycle()
	q.deadLetters.eventType = d.deadLetterType
	q.events = 0
	clear(q.touched)
	q.used = 0
	q.declared = d
	q.typeCount = len(d.types)
	q.openChunks = make([]*chunk, q.partitions*len(d.types))
	q.decoder = newDecoder(*q.cfg, d.types, d.maxFields)
}

// decode turns the body into chunks and rejections, or refuses the whole request.
func (q *request) decode(kind contentKind, h http.Header, now time.Time) *problem.Problem {
	d := q.decoder
	d.start(q.body, kind.strict(), now)
	d.restrict(q.principal.Collect)
	if kind == kindLines {
		return q.decodeLines()
	}
	if kind == kindBinary {
		refused := d.decodeBinary(h, q.body)
		var raw []byte
		if refused != nil {
			raw = structuredForm(h, q.body)
		}
		return q.add(raw, refused)
	}
	first := d.peek()
	if first == '[' && kind != kindObject {
		return q.decodeArray()
	}
	if first != '{' || kind == kindBatch {
		return problem.New(http.StatusBadRequest, problem.InvalidJSON, "the body is not "+kind.expected())
	}
	if p := q.decodeNext(); p != nil {
		return p
	}
	return q.checkEnd()
}

// decodeNext decodes the event at the current position of a body that is one JSON text.
// A syntax error refuses the request, because the rest of the text cannot be trusted.
func (q *request) decodeNext() *problem.Problem {
	q.decoder.peek()
	start := q.decoder.pos
	refused := q.decoder.decode()
	if refused != nil && refused.code == problem.InvalidJSON {
		return q.malformed(refused.message)
	}
	return q.add(q.body[start:q.decoder.pos], refused)
}

func (q *request) decodeArray() *problem.Problem {
	d := q.decoder
	d.pos++
	if d.peek() == ']' {
		d.pos++
		return q.checkEnd()
	}
	for {
		if p := q.decodeNext(); p != nil {
			return p
		}
		c := d.peek()
		d.pos++
		switch c {
		case ',':
		case ']':
			return q.checkEnd()
		default:
			return q.malformed("an event must be followed by a comma or a closing bracket")
		}
	}
}

// checkEnd checks that only white space follows the events.
func (q *request) checkEnd() *problem.Problem {
	if !q.decoder.atEnd() {
		return q.malformed("there is more after the last event")
	}
	return nil
}

func (q *request) malformed(message string) *problem.Problem {
	return problem.New(http.StatusBadRequest, problem.InvalidJSON,
		fmt.Sprintf("after event %d: %s", q.events, message))
}

// decodeLines decodes one event per line. A broken line refuses only itself, and an empty
// line is no event.
func (q *request) decodeLines() *problem.Problem {
	rest := q.body
	for len(rest) > 0 {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i]
			rest = rest[i+1:]
		} else {
			rest = nil
		}
		d := q.decoder
		d.buf = line
		d.pos = 0
		if d.atEnd() {
			continue
		}
		refused := d.decode()
		if (refused == nil || refused.code != problem.InvalidJSON) && !d.atEnd() {
			refused = &rejection{problem.InvalidJSON, "there is more on the line after the event"}
		}
		if p := q.add(line, refused); p != nil {
			return p
		}
	}
	return nil
}

// count counts one more event of the request.
func (q *request) count() *problem.Problem {
	if q.events == q.cfg.Events {
		return problem.New(http.StatusRequestEntityTooLarge, problem.TooManyEvents,
			fmt.Sprintf("more than %d events in one request; split it", q.cfg.Events))
	}
	q.events++
	return nil
}

// add stores the event that was decoded. A refused event goes into the list of rejections
// instead, and raw, which is its bytes, into a dead letter. A problem refuses the request.
func (q *request) add(raw []byte, refused *rejection) *problem.Problem {
	if p := q.count(); p != nil {
		return p
	}
	index := q.events - 1
	if refused == nil {
		return q.keep(index)
	}
	if refused.code == problem.UnknownType {
		q.unknown = true
		if q.decoder.room > 0 {
			return nil // The request is decoded again.
		}
	}
	id := q.decoder.eventID()
	q.reject(index, id, refused)
	if p := q.charge(answerCost(len(id), len(refused.message))); p != nil {
		return p
	}
	if q.mayKeep() {
		q.keepDeadLetter(raw, index, refused)
	}
	return nil
}

// keep stores the event that was decoded. If its type is not declared, it looks at the event instead.
func (q *request) keep(index int) *problem.Problem {
	d := q.decoder
	if d.eventType.candidate != nil {
		return q.observeCandidate()
	}
	if len(d.undeclared) > 0 && d.eventType.seen != nil && d.permission == discoveryAllowed {
		q.sawMore = d.eventType.seen.observe(d.undeclared, d.now) || q.sawMore
	}
	return q.store(index)
}

func (q *request) reject(index int, id string, r *rejection) {
	q.rejected = append(q.rejected, rejectedEvent{rejection: *r, index: index, id: id})
}

// store appends the decoder's row to the chunk of its partition and type (L3).
func (q *request) store(index int) *problem.Problem {
	d := q.decoder
	size := d.eventType.rowBytes(&d.row, len(d.tenant))
	if p := q.charge(size + answerCost(len(d.row.id), 0)); p != nil {
		return p
	}
	if b := window.Floor(d.row.time, q.bucket); b != q.lastTouched || len(q.touched) == 0 {
		q.touched[b] = struct{}{}
		q.lastTouched = b
	}
	partition := d.row.key.Partition(q.partitions)
	c := q.chunk(&q.openChunks[partition*q.typeCount+d.eventType.index], &q.chunks, d.eventType, partition, size)
	c.append(&d.row, size)
	c.indexes = append(c.indexes, int32(index))
	return nil
}

// chunk returns the open chunk if size more bytes fit into it. Otherwise it begins another
// one, so that no chunk is larger than a group and none has to be split.
func (q *request) chunk(open **chunk, all *[]*chunk, t *eventType, partition, size int) *chunk {
	c := *open
	if c == nil || c.n == q.cfg.GroupEvents || c.bytes+size > q.cfg.GroupBytes && c.n > 0 {
		c = t.chunks.Get().(*chunk)
		c.partition = partition
		c.tenant = q.decoder.tenant
		c.done = &q.done
		*open = c
		*all = append(*all, c)
	}
	return c
}

// settle waits until every chunk is in the log or refused. It turns refused chunks into
// rejections, and returns how many events are durable and their places in the log.
func (q *request) settle(epochs []uint32) (accepted int, places []Place) {
	q.done.Wait()
	q.nameDeadLetters()
	for _, c := range q.chunks {
		if c.rejection == nil {
			accepted += c.n
			places = append(places, Place{Partition: c.partition, Epoch: epochs[c.partition], Seq: c.seq,
				First: c.first, Count: c.n})
			continue
		}
		for i, index := range c.indexes {
			q.reject(int(index), string(c.id.value(i)), c.rejection)
		}
	}
	slices.SortFunc(q.rejected, func(a, b rejectedEvent) int { return a.index - b.index })
	return accepted, places
}
