package ingest

import (
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
)

// knownValues is how many values a decoder remembers, so that it need not ask the sets,
// which all requests share, for those that come all the time.
const knownValues = 4096

// caps bound how many values a dimension gets from one tenant in one UTC day. What is
// decided here is written into the log, so both layers agree without knowing of it.
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
	fields map[*field]*valueSet
}

type setName struct {
	tenant, typ, field string
	day                int64
}

type valueSet struct {
	salt uint64 // keeps one set's values apart from another's in a decoder's memory
	mu   sync.Mutex
	seen map[uint64]struct{}
	full bool
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
	if day != v.day {
		v.day, v.tenants = day, map[string]*tenantCaps{}
		v.left.Store(maxValues) // Requests that began yesterday go on with their sets.
	}
	t := v.tenants[tenant]
	if t == nil {
		t = &tenantCaps{caps: v, tenant: tenant, since: day, fields: map[*field]*valueSet{}}
		v.tenants[tenant] = t
	}
	return t
}

func (t *tenantCaps) set(typ *eventType, f *field) *valueSet {
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
		first, s.full = !s.full, true
		return false, first
	}
	s.seen[hash] = struct{}{}
	t.held.Add(1)
	t.left.Add(-1)
	return true, false
}

// capValues puts catalog.Overflow in the place of values too many, and what was there into extra. It comes
// after the hash, so a copy of the event is no conflict though it may have overflowed.
func (d *decoder) capValues() {
	over := false
	for _, i := range d.typ.capped {
		s, f := &d.row.slots[i], &d.typ.fields[i]
		if s.state != present || d.mayStand(f, s.text) {
			continue
		}
		d.row.extra = appendOverflow(d.row.extra, !over, f.name, s.text)
		s.text, over = []byte(catalog.Overflow), true
	}
	if over {
		d.row.extra = append(d.row.extra, "}}"...)
	}
}

func (d *decoder) mayStand(f *field, value []byte) bool {
	set := d.sets[f]
	if set == nil {
		set = d.caps.set(d.typ, f)
		d.sets[f] = set
	}
	hash := maphash.Bytes(d.caps.seed, value)
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
			"tenant", d.caps.tenant, "type", d.typ.name, "field", f.name, "limit", d.caps.most)
	}
	set.over.Inc()
	return false
}

// appendOverflow opens or goes on with the member overflow of the extra fields, which
// comes last by name; two braces are still to come.
func appendOverflow(extra []byte, first bool, name string, value []byte) []byte {
	switch {
	case !first:
		extra = append(extra, ',')
	case len(extra) == 0:
		extra = append(extra, `{"overflow":{`...)
	default:
		extra = append(extra[:len(extra)-1], `,"overflow":{`...)
	}
	extra = append(appendString(extra, []byte(name)), ':')
	return appendString(extra, value)
}

// capped are the places of the string fields that views have as dimensions and use for
// nothing else: what a filter or a measure reads must stay what it was.
func (t *eventType) findCapped(cat *catalog.Catalog) {
	dimension, other := map[string]bool{}, map[string]bool{}
	for _, v := range cat.Views {
		if v.Event != t.name {
			continue
		}
		for _, d := range v.Dimensions {
			dimension[d] = true
		}
		for _, m := range v.Measures {
			other[m.Field] = true
		}
		for _, f := range v.Where {
			other[f.Field] = true
		}
	}
	for i, f := range t.fields {
		if f.kind == catalog.String && dimension[f.name] && !other[f.name] {
			t.capped = append(t.capped, i)
		}
	}
}
