package ingest

import (
	"fmt"
	"time"

	"recount/schemas/access"
	"recount/schemas/eventbatch"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// member is an undeclared field or attribute: its name, and its value as JSON text.
type member struct{ key, raw []byte }

// decoder turns the bytes of events into rows. It serves one request at a time and keeps its
// scratch memory, so that decoding allocates nothing per event.
type decoder struct {
	scanner
	types      map[string]*eventType
	tenant     string
	identity   eventbatch.Identity
	caps       *tenantCaps          // the tenant's values of today; nil without a cap
	sets       map[setKey]*valueSet // the sets of caps that this request has used
	recentSets recentSets           // those of the last event
	known      [knownValues]uint64  // values that are in a set, by their lowest bits
	permission permission           // to discover
	collect    *access.Collect      // what the sender's key may send; nil without such a bound
	room       int                  // for event types that the request may declare
	bounds     *DiscoveryConfig     // of such event types
	candidates map[string]*candidate
	noRoom     bool            // for a further event type
	refused    map[string]bool // event types that cannot be declared
	full       bool            // a type was refused because there is no room for it
	apart      bool            // DiscoveryConfig.Apart
	eventBytes int
	past       time.Duration
	future     time.Duration

	strict     bool  // the content type is CloudEvents' own: specversion and source are required
	now        int64 // microseconds since 1970
	oldest     int64
	newest     int64
	eventType  *eventType
	lastType   *eventType // of the last event whose type is declared
	row        row
	attributes [attributeCount][]byte
	seen       [attributeCount]bool
	dataStart  int      // where data begins if it comes before the type; otherwise -1
	fieldOrder []int    // the field that came at each place of the last event (see findField)
	undeclared []member // fields of data
	// keptUndeclared says that one of them is a declared field, whose value its column cannot hold as it was sent.
	keptUndeclared bool
	extensions     []member // attributes
	decoded        []byte   // from data_base64
	canonical      []byte   // scratch memory of the canonical form
	unquoted       []byte   // scratch memory of an undeclared string
}

func newDecoder(cfg Config, types map[string]*eventType, fields int) *decoder {
	return &decoder{
		scanner:    scanner{maxDepth: cfg.Depth, maxFields: cfg.Fields, maxArena: cfg.EventBytes},
		types:      types,
		identity:   cfg.Identity,
		apart:      cfg.Discovery.Apart,
		eventBytes: cfg.EventBytes,
		past:       cfg.Past,
		future:     cfg.Future,
		row:        row{slots: make([]slot, 0, fields)},
		fieldOrder: make([]int, fields),
		sets:       map[setKey]*valueSet{},
	}
}

// setTenant forgets the tenant that used the decoder before.
func (d *decoder) setTenant(tenant string, caps *tenantCaps) {
	d.tenant = tenant
	d.caps = caps
	d.recentSets.eventType = nil
	d.permission = discoveryOff
	d.collect = nil
	d.room = 0
	d.noRoom = false
	d.refused = nil
	d.full = false
	d.forgetCandidates()
	clear(d.sets)
}

// forgetCandidates gives back the memory of what was found about event types that were not declared.
func (d *decoder) forgetCandidates() {
	clear(d.candidates)
	d.eventType = nil // It may be a candidate.
	d.lastType = nil
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

// reset forgets the last event.
func (d *decoder) reset() {
	d.begin()
	d.eventType = nil
	d.dataStart = -1
	d.attributes = [attributeCount][]byte{}
	d.seen = [attributeCount]bool{}
	d.undeclared = d.undeclared[:0]
	d.keptUndeclared = false
	d.extensions = d.extensions[:0]
	d.row.slots = d.row.slots[:0]
}

// decode reads the next value of the input as an event into row, or returns why the event is
// refused. With problem.InvalidJSON the input after the event cannot be used either.
func (d *decoder) decode() *rejection {
	d.reset()
	first := d.peek()
	start := d.pos
	if first == '{' {
		d.pos++
		d.scanObject()
	} else if d.skip(0) {
		d.reject(problem.InvalidEvent, "an event is a JSON object")
	}
	if d.stopped && !d.broken() {
		refused := d.rejection
		if d.skipByBrackets(start) {
			d.rejection = refused
		}
		return d.rejection
	}
	if size := d.pos - start; size > d.eventBytes {
		d.rejectSize(size)
	}
	if d.rejection == nil {
		d.finish()
	}
	return d.rejection
}

func (d *decoder) rejectSize(size int) {
	d.reject(problem.EventTooLarge, fmt.Sprintf("the event has %d bytes; use at most %d", size, d.eventBytes))
}

// scanObject reads the members of the event, and then data if it came before the type.
func (d *decoder) scanObject() {
	key, more := d.nextKey(true)
	for ; more; key, more = d.nextKey(false) {
		if !d.scanAttribute(key) {
			return
		}
	}
	if d.stopped || d.dataStart < 0 {
		return
	}
	end := d.pos
	fields := d.fields
	d.pos = d.dataStart
	d.fields = 0
	d.scanData()
	d.pos = end
	d.fields = fields
}

// finish makes the checks that need the whole event, in the order in which a sender would fix
// the event, and completes the row.
func (d *decoder) finish() {
	if d.checkAttributes(); d.rejection == nil {
		d.checkData()
	}
	if d.rejection == nil {
		d.setTime()
	}
	if d.rejection == nil {
		d.completeRow()
	}
	if d.rejection == nil && d.eventType.candidate != nil && d.room == 0 {
		d.reject(problem.UnknownType, d.unknownType()) // Nothing of it was found when it could be declared.
	}
	if d.rejection != nil {
		return
	}
	d.row.id = d.attributes[attrID]
	d.row.source = d.attributes[attrSource]
	d.row.subject = d.attributes[attrSubject]
	if d.checkOverflow(d.eventType, &d.row); d.rejection != nil {
		return
	}
	d.row.key = d.identity.Key(d.tenant, unsafeString(d.row.source), unsafeString(d.row.id))
	d.capValues(d.eventType, &d.row)
}
