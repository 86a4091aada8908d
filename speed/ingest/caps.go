package ingest

import (
	"hash/maphash"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/problem"
)

// knownValues is how many values a decoder remembers. For frequent values it need not lock the
// sets, which all requests share.
const knownValues = 4096

// caps bound how many values a dimension gets from one tenant in one UTC day of event time. An event with
// a value too many says so in the log (eventbatch.ColOverflow), for the real-time views. The batch layer decides anew
// (B7). The day is that of the event, so that an import of many days loses no value that each day has room for.
//
// Caps know only the values that this process saw since its clock's midnight. Another process, and this one
// after a restart, lets as many pass again. maxValues bounds the memory of caps, which tenants
// share as they share budget.
type caps struct {
	limit      int // values of a tenant, type, field and day of event time
	seed       maphash.Seed
	left       atomic.Int64 // entries that may still be added
	logger     *slog.Logger
	overflowed *prometheus.CounterVec

	mu      sync.Mutex
	day     int64
	tenants map[string]*tenantCaps
}

const (
	// maxValues bounds the entries of all sets. They need about 400 MB when all are used.
	maxValues = 16 << 20
	// setEntries is how many entries an empty set counts as, because a set needs memory too.
	setEntries = 16
	// otherDays is the day of the set that a tenant without room uses for further days of event time.
	otherDays = math.MinInt64
)

// tenantCaps are the sets of one tenant on one day of the clock.
type tenantCaps struct {
	*caps
	tenant string
	today  int64        // in days since 1970
	held   atomic.Int64 // entries in all of its sets
	mu     sync.Mutex
	sets   map[setKey]*valueSet
}

// setKey names a set of a tenant: a dimension on a day of event time, in days since 1970.
type setKey struct {
	field *cappedField
	day   int64
}

type setName struct {
	tenant, eventType, field string
	today, day               int64
}

// dayOf returns the day of a time in microseconds, in days since 1970.
func dayOf(micros int64) int64 { return micros / (24 * time.Hour).Microseconds() }

type valueSet struct {
	salt       uint64 // tells the values of different sets apart in decoder.known
	mu         sync.Mutex
	seen       map[uint64]struct{}
	overflowed uint64 // events whose value was too many
	counter    prometheus.Counter
}

func newCaps(limit int, logger *slog.Logger, m *metrics) *caps {
	c := &caps{limit: limit, seed: maphash.MakeSeed(), logger: logger, overflowed: m.overflowed}
	c.left.Store(maxValues)
	return c
}

// setsOf returns the sets of a tenant on the day of now, which is in microseconds. It returns
// nil when there is no cap.
func (c *caps) setsOf(tenant string, now int64) *tenantCaps {
	if c.limit == 0 {
		return nil
	}
	day := dayOf(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	// A request that began before midnight uses the sets of the new day. Any other earlier day
	// begins new sets: the clock was far ahead and has been corrected.
	if day != c.day && day != c.day-1 {
		c.day = day
		c.tenants = map[string]*tenantCaps{}
		c.left.Store(maxValues) // Requests that began earlier keep their sets.
	}
	t := c.tenants[tenant]
	if t == nil {
		t = &tenantCaps{caps: c, tenant: tenant, today: c.day, sets: map[setKey]*valueSet{}}
		c.tenants[tenant] = t
	}
	return t
}

// findSet returns the set of a field and a day of event time, and creates it if there is none.
func (t *tenantCaps) findSet(event *eventType, k setKey) *valueSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sets[k]
	if s == nil && t.isFull() {
		k.day = otherDays
		s = t.sets[k]
	}
	if s == nil {
		salt := maphash.Comparable(t.seed, setName{t.tenant, event.name, k.field.name, t.today, k.day})
		s = &valueSet{salt: salt, seen: map[uint64]struct{}{}}
		s.counter = t.overflowed.WithLabelValues(event.name, k.field.name)
		t.sets[k] = s
		t.hold(setEntries)
	}
	return s
}

// isFull reports whether the tenant has as many entries as are left for others.
func (t *tenantCaps) isFull() bool { return t.held.Load() >= t.left.Load() }

func (t *tenantCaps) hold(entries int64) {
	t.held.Add(entries)
	t.left.Add(-entries)
}

// admit reports whether a value may appear in its dimension: it did so before, or there is
// room for it. first is true for the first value that is too many.
func (t *tenantCaps) admit(s *valueSet, hash uint64) (ok, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[hash]; ok {
		return true, false
	}
	if len(s.seen) >= t.limit || t.isFull() {
		s.overflowed++
		return false, s.overflowed == 1
	}
	s.seen[hash] = struct{}{}
	t.hold(1)
	return true, false
}

// Cap is how many values a dimension has from a tenant in events of today, as far as this process saw them.
type Cap struct {
	Limit      int
	Values     int
	Overflowed uint64 // events whose value was too many
}

// Cap returns the cap of a dimension for a tenant. ok is false if the dimension is not capped.
func (s *Server) Cap(tenant, event, dimension string) (c Cap, ok bool) {
	current := s.current()
	declared := current.types[event]
	if event == current.deadLetterType.name {
		declared = current.deadLetterType
	}
	t := s.caps.setsOf(tenant, s.now().UnixMicro())
	if declared == nil || t == nil {
		return c, false
	}
	i := slices.IndexFunc(declared.capped, func(f *cappedField) bool { return f.name == dimension })
	if i < 0 {
		return c, false
	}
	c.Limit = t.limit
	t.mu.Lock()
	set := t.sets[setKey{declared.capped[i].values, t.today}]
	t.mu.Unlock()
	if set != nil {
		set.mu.Lock()
		defer set.mu.Unlock()
		c.Values = len(set.seen)
		c.Overflowed = set.overflowed
	}
	return c, true
}

// cappedField is a dimension of some view whose values are capped.
type cappedField struct {
	name      string
	kind      catalog.FieldType
	slot      int       // of a declared field; -1 for an attribute
	attribute attribute // source or subject, if slot is -1
	nulls     []string  // texts that mean null

	values *cappedField // under which the sets are: itself, or that of an earlier catalog which it continues
}

// findCapped lists the dimensions that may get any number of values. A bool has only two. Fields that ingest does not
// decode are not among them.
func (t *eventType) findCapped(declared *catalog.Catalog) {
	names := map[string]bool{}
	for _, v := range declared.ViewsOf(t.name) {
		for _, d := range v.Dimensions {
			names[d] = true
		}
	}
	var fields []catalog.Field
	if e := declared.Events[t.name]; e != nil {
		fields = e.Fields
	}
	for _, f := range fields {
		if slot, ok := t.byName[f.Column()]; ok && names[f.Name] && f.Type != catalog.Bool {
			t.capped = append(t.capped, &cappedField{name: f.Name, kind: f.Type, slot: slot, nulls: f.Nulls})
		}
	}
	for _, a := range []attribute{attrSource, attrSubject} {
		if name := attributeNames[a]; names[name] {
			t.capped = append(t.capped, &cappedField{name: name, kind: catalog.String, slot: -1, attribute: a})
		}
	}
	for _, f := range t.capped {
		f.values = f
	}
	slices.SortFunc(t.capped, func(a, b *cappedField) int { return strings.Compare(a.name, b.name) })
}

// capValues writes into the row the names of the dimensions whose value is too many. The values
// themselves do not change, so filters and measures read what was sent, and a copy of the
// event has the same payload hash.
func (d *decoder) capValues(t *eventType, r *row) {
	r.overflow = r.overflow[:0]
	if d.caps == nil {
		return
	}
	d.recentSets.choose(t, dayOf(r.time))
	for i, f := range t.capped {
		hash, ok := d.caps.hashValue(f, r)
		if !ok || d.admitValue(i, hash) {
			continue
		}
		if len(r.overflow) > 0 {
			r.overflow = append(r.overflow, ',')
		}
		r.overflow = append(r.overflow, f.name...)
	}
}

// checkOverflow rejects an event with the overflow value in a dimension. Views could not tell it from values beyond the
// limit, and their answers would never be exact again, whatever the limit.
func (d *decoder) checkOverflow(t *eventType, r *row) {
	for _, f := range t.capped {
		if !f.holdsOverflow(r) {
			continue
		}
		value := catalog.Overflow
		if f.kind == catalog.Int64 {
			value = strconv.FormatInt(catalog.OverflowInt, 10)
		}
		code := problem.InvalidField
		name := f.name
		if f.slot < 0 {
			code = problem.InvalidAttribute
		} else {
			name = "data." + t.fields[f.slot].name
		}
		d.reject(code, name+": under "+value+" views count what is beyond limits.cardinality; send another value")
		return
	}
}

// holdsOverflow reports whether the value of a field is catalog.Overflow or OverflowInt.
func (f *cappedField) holdsOverflow(r *row) bool {
	switch {
	case f.slot < 0 && f.attribute == attrSource:
		return string(r.source) == catalog.Overflow
	case f.slot < 0:
		return string(r.subject) == catalog.Overflow
	case r.slots[f.slot].state != present:
		return false
	case f.kind == catalog.String:
		return string(r.slots[f.slot].text) == catalog.Overflow
	}
	return f.kind == catalog.Int64 && r.slots[f.slot].number == catalog.OverflowInt
}

// hashValue returns the hash of a field's value. ok is false if it has none.
func (c *caps) hashValue(f *cappedField, r *row) (hash uint64, ok bool) {
	switch {
	case f.slot < 0 && f.attribute == attrSource:
		return maphash.Bytes(c.seed, r.source), true
	case f.slot < 0:
		return maphash.Bytes(c.seed, r.subject), len(r.subject) > 0
	case f.kind == catalog.String:
		s := &r.slots[f.slot]
		text := s.text
		if s.counted != nil {
			text = s.counted
		}
		ok := (s.state == present || s.counted != nil) && !slices.Contains(f.nulls, unsafeString(text))
		return maphash.Bytes(c.seed, text), ok
	}
	return maphash.Comparable(c.seed, r.slots[f.slot].number), r.slots[f.slot].state == present
}

// recentSets are the sets of one event type and day of event time, in the order of the type's capped fields. One that
// was not needed yet is nil. Most events are of the type and the day of the event before.
type recentSets struct {
	eventType *eventType
	day       int64
	sets      []*valueSet
}

// choose forgets the sets unless they are those of the type and the day.
func (s *recentSets) choose(t *eventType, day int64) {
	if t == s.eventType && day == s.day {
		return
	}
	s.eventType = t
	s.day = day
	s.sets = slices.Grow(s.sets[:0], len(t.capped))[:len(t.capped)]
	clear(s.sets)
}

// findRecent returns the set of a capped field of the last event.
func (d *decoder) findRecent(field int) *valueSet {
	s := &d.recentSets
	if s.sets[field] != nil {
		return s.sets[field]
	}
	k := setKey{s.eventType.capped[field].values, s.day}
	set := d.sets[k]
	if set == nil {
		set = d.caps.findSet(s.eventType, k)
		d.sets[k] = set
	}
	s.sets[field] = set
	return set
}

// admitValue reports whether a value may appear in its dimension, which is a capped field of the last event.
func (d *decoder) admitValue(field int, hash uint64) bool {
	set := d.findRecent(field)
	known := hash ^ set.salt
	entry := &d.known[known%knownValues]
	if *entry == known {
		return true
	}
	ok, first := d.caps.admit(set, hash)
	switch {
	case ok:
		*entry = known
		return true
	case first:
		d.caps.logger.Warn("a dimension has too many values in a day; further values are counted as "+catalog.Overflow,
			"tenant", d.caps.tenant, "type", d.recentSets.eventType.name,
			"field", d.recentSets.eventType.capped[field].name, "limit", d.caps.limit)
	}
	set.counter.Inc()
	return false
}
