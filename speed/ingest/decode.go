package ingest

import (
	"fmt"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// member is an undeclared field or attribute: its name and its JSON as sent.
type member struct{ key, raw []byte }

// decoder turns the bytes of events into rows. It is used by one request at a time
// and keeps its scratch memory, so that decoding allocates nothing per event.
type decoder struct {
	scanner
	types      map[string]*eventType
	tenant     string                     // who sent the request
	caps       *tenantCaps                // what the tenant's dimensions hold today; nil without a cap
	sets       map[*cappedField]*valueSet // of caps, once used by this request
	known      [knownValues]uint64
	eventBytes int
	past       time.Duration
	future     time.Duration

	strict  bool  // the content type is CloudEvents' own: specversion and source are required
	now     int64 // microseconds since 1970
	oldest  int64
	newest  int64
	typ     *eventType
	row     row
	attrs   [attributes][]byte
	seen    [attributes]bool
	dataAt  int // where data begins when it comes before the type; -1 else
	guess   []int
	data    []member // undeclared fields
	extends []member // undeclared attributes
	decoded []byte   // data_base64, decoded
	canon   []byte
}

func newDecoder(cfg Config, types map[string]*eventType, fields int) *decoder {
	return &decoder{
		scanner:    scanner{maxDepth: cfg.Depth, maxFields: cfg.Fields, maxArena: cfg.EventBytes},
		types:      types,
		eventBytes: cfg.EventBytes,
		past:       cfg.Past,
		future:     cfg.Future,
		row:        row{slots: make([]slot, 0, fields)},
		guess:      make([]int, fields),
		sets:       map[*cappedField]*valueSet{},
	}
}

// serve makes the decoder one tenant's: a request that is used again forgets the one before.
func (d *decoder) serve(tenant string, caps *tenantCaps) {
	d.tenant = tenant
	d.caps = caps
	clear(d.sets)
}

// start points the decoder at the bytes of a request.
func (d *decoder) start(buf []byte, strict bool, now time.Time) {
	d.reset()
	d.buf = buf
	d.pos = 0
	d.strict = strict
	d.now = now.UnixMicro()
	d.oldest = window.MinTime
	d.newest = min(window.MaxTime, d.now+d.future.Microseconds())
	if d.past > 0 {
		d.oldest = max(d.oldest, d.now-d.past.Microseconds())
	}
}

// reset forgets the event before.
func (d *decoder) reset() {
	d.begin()
	d.typ = nil
	d.dataAt = -1
	d.attrs = [attributes][]byte{}
	d.seen = [attributes]bool{}
	d.data = d.data[:0]
	d.extends = d.extends[:0]
	d.row.slots = d.row.slots[:0]
}

// event takes the next value of the input as an event into row. It returns what
// refuses it; a problem.InvalidJSON means that the input behind is lost as well.
func (d *decoder) event() *fault {
	d.reset()
	first := d.next()
	start := d.pos
	if first == '{' {
		d.pos++
		d.object()
	} else if d.skip(0) {
		d.note(problem.InvalidEvent, "an event is a JSON object")
	}
	if d.stopped && !d.broken() {
		refused := d.fault
		if d.skipOver(start) {
			d.fault = refused
		}
		return d.fault
	}
	if d.pos-start > d.eventBytes {
		d.note(problem.EventTooLarge, fmt.Sprintf("the event has %d bytes; at most %d", d.pos-start, d.eventBytes))
	}
	if d.fault == nil {
		d.finish()
	}
	return d.fault
}

// object scans the members of the event and then the data that had to wait for its type.
func (d *decoder) object() {
	key, more := d.member(true)
	for ; more; key, more = d.member(false) {
		if !d.attribute(key) {
			return
		}
	}
	if d.stopped || d.dataAt < 0 {
		return
	}
	end := d.pos
	fields := d.fields
	d.pos = d.dataAt
	d.fields = 0
	d.dataValue()
	d.pos = end
	d.fields = fields
}

// finish checks what only the whole event shows, in the order a sender would fix it, and completes the row.
func (d *decoder) finish() {
	if d.checkAttributes(); d.fault == nil {
		d.checkData()
	}
	if d.fault == nil {
		d.setTime()
	}
	if d.fault == nil {
		d.canonical()
	}
	if d.fault != nil {
		return
	}
	d.row.id = d.attrs[attrID]
	d.row.source = d.attrs[attrSource]
	d.row.subject = d.attrs[attrSubject]
	d.row.key = eventbatch.KeyOf(d.tenant, view(d.row.id))
	d.capValues(d.typ, &d.row)
}
