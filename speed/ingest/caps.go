package ingest

import (
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
)

// knownValues is how many values a decoder remembers, so that it need not ask the sets,
// which all requests share, for those that come all the time.
const knownValues = 4096

// caps bound how many values a dimension gets from one tenant in one UTC day. Which are too
// many is written into the log beside the values (eventbatch.ColOverflow), so both layers agree.
//
// Caps know what this process saw this day: another process or a restart lets as many pass
// again. Their memory is bounded by maxValues and shared by tenants as budget is.
type caps struct {
	most   int // values of a tenant, type, field and day
	seed   maphash.Seed
	left   atomic.Int64 // entries that may still be made
	logger *slog.Logger
	over   *prometheus.CounterVec

	mu      sync.Mutex
	day     int64
	tenants map[string]*tenantCaps
}

// maxValues bounds the entries of all sets: some 400 MB when all are used.
const maxValues = 16 << 20

// tenantCaps are the sets of one tenant and day.
type tenantCaps struct {
	*caps
	tenant string
	since  int64 // the day
	held   atomic.Int64
	mu     sync.Mutex
	fields map[*cappedField]*valueSet
}

type setName struct {
	tenant, typ, field string
	day                int64
}

type valueSet struct {
	salt uint64 // keeps one set's values apart from another's in a decoder's memory
	mu   sync.Mutex
	seen map[uint64]struct{}
	full uint64 // events whose value was one too many
	over prometheus.Counter
}

func newCaps(most int, logger *slog.Logger, m *metrics) *caps {
	v := &caps{most: most, seed: maphash.MakeSeed(), logger: logger, over: m.overflowed}
	v.left.Store(maxValues)
	return v
}

// of returns the sets of a tenant on the day of now, in microseconds; nil when there is no cap.
func (v *caps) of(tenant string, now int64) *tenantCaps {
	if v.most == 0 {
		return nil
	}
	day := now / (24 * time.Hour).Microseconds()
	v.mu.Lock()
	defer v.mu.Unlock()
	// A request from before midnight that comes late uses the new day's sets. Only that day's: a
	// clock that is set right after it was far ahead begins anew.
	if day != v.day && day != v.day-1 {
		v.day = day
		v.tenants = map[string]*tenantCaps{}
		v.left.Store(maxValues) // Requests that began yesterday go on with their sets.
	}
	t := v.tenants[tenant]
	if t == nil {
		t = &tenantCaps{caps: v, tenant: tenant, since: v.day, fields: map[*cappedField]*valueSet{}}
		v.tenants[tenant] = t
	}
	return t
}

func (t *tenantCaps) set(typ *eventType, f *cappedField) *valueSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.fields[f]
	if s == nil {
		salt := maphash.Comparable(t.seed, setName{t.tenant, typ.name, f.name, t.since})
		s = &valueSet{salt: salt, seen: map[uint64]struct{}{}, over: t.over.WithLabelValues(typ.name, f.name)}
		t.fields[f] = s
	}
	return s
}

// admit reports whether a value may stand in its dimension: it did so today, or there is room.
func (t *tenantCaps) admit(s *valueSet, hash uint64) (ok, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[hash]; ok {
		return true, false
	}
	if len(s.seen) >= t.most || t.held.Load() >= t.left.Load() {
		s.full++
		return false, s.full == 1
	}
	s.seen[hash] = struct{}{}
	t.held.Add(1)
	t.left.Add(-1)
	return true, false
}

// Cap is what a dimension has of a tenant today, as this process knows.
type Cap struct {
	Most       int    // values it may have
	Values     int    // values it has
	Overflowed uint64 // events that brought one too many
}

// Cap returns what a dimension of an event type has of a tenant; ok is false if it is not capped.
func (s *Server) Cap(tenant, event, dimension string) (c Cap, ok bool) {
	typ := s.types[event]
	if event == s.letterType.name {
		typ = s.letterType
	}
	t := s.caps.of(tenant, s.now().UnixMicro())
	if typ == nil || t == nil {
		return c, false
	}
	i := slices.IndexFunc(typ.capped, func(f *cappedField) bool { return f.name == dimension })
	if i < 0 {
		return c, false
	}
	c.Most = t.most
	t.mu.Lock()
	set := t.fields[typ.capped[i]]
	t.mu.Unlock()
	if set != nil {
		set.mu.Lock()
		defer set.mu.Unlock()
		c.Values = len(set.seen)
		c.Overflowed = set.full
	}
	return c, true
}

// cappedField is a field whose values are capped: a string or an int64 that is a dimension of
// some view, or the source or subject of the event.
type cappedField struct {
	name string
	kind catalog.FieldType
	slot int       // among the declared fields, or
	attr attribute // with slot -1
}

// findCapped lists the dimensions that could get ever more values. A bool cannot.
func (t *eventType) findCapped(cat *catalog.Catalog) {
	names := map[string]bool{}
	for _, v := range cat.ViewsOf(t.name) {
		for _, d := range v.Dimensions {
			names[d] = true
		}
	}
	for i, f := range t.fields {
		if names[f.name] && f.kind != catalog.Bool {
			t.capped = append(t.capped, &cappedField{name: f.name, kind: f.kind, slot: i})
		}
	}
	for _, a := range []attribute{attrSource, attrSubject} {
		if name := attributeNames[a]; names[name] {
			t.capped = append(t.capped, &cappedField{name: name, kind: catalog.String, slot: -1, attr: a})
		}
	}
	slices.SortFunc(t.capped, func(a, b *cappedField) int { return strings.Compare(a.name, b.name) })
}

// capValues names in the row the dimensions whose value is one too many. The values stay where
// they are: a filter or a measure reads what was sent, and a copy of the event is no conflict.
func (d *decoder) capValues(t *eventType, r *row) {
	r.over = r.over[:0]
	if d.caps == nil {
		return
	}
	for _, f := range t.capped {
		hash, ok := d.caps.hash(f, r)
		if !ok || d.mayStand(t, f, hash) {
			continue
		}
		if len(r.over) > 0 {
			r.over = append(r.over, ',')
		}
		r.over = append(r.over, f.name...)
	}
}

// hash is that of the field's value; ok is false if it has none.
func (v *caps) hash(f *cappedField, r *row) (hash uint64, ok bool) {
	switch {
	case f.slot < 0 && f.attr == attrSource:
		return maphash.Bytes(v.seed, r.source), true
	case f.slot < 0:
		return maphash.Bytes(v.seed, r.subject), len(r.subject) > 0
	case f.kind == catalog.String:
		return maphash.Bytes(v.seed, r.slots[f.slot].text), r.slots[f.slot].state == present
	}
	return maphash.Comparable(v.seed, r.slots[f.slot].num), r.slots[f.slot].state == present
}

func (d *decoder) mayStand(t *eventType, f *cappedField, hash uint64) bool {
	set := d.sets[f]
	if set == nil {
		set = d.caps.set(t, f)
		d.sets[f] = set
	}
	known := hash ^ set.salt
	at := &d.known[known%knownValues]
	if *at == known {
		return true
	}
	ok, first := d.caps.admit(set, hash)
	switch {
	case ok:
		*at = known
		return true
	case first:
		d.caps.logger.Warn("a dimension has too many values today; new ones are counted as "+catalog.Overflow,
			"tenant", d.caps.tenant, "type", t.name, "field", f.name, "limit", d.caps.most)
	}
	set.over.Inc()
	return false
}
