package ingest

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
)

// eventType is a declared event type, with what the decoder and the committers need of it.
type eventType struct {
	index          int    // among all types in the order of their names
	generation     uint64 // of the catalog that declares it
	name           string
	nameBytes      []byte
	fields         []field
	byName         map[string]int
	places         map[string]*place // of fields that no column holds, by member of data
	capped         []*cappedField
	schema         *arrow.Schema
	overflowSchema *arrow.Schema // with the column of messages that have an event with a value too many
	chunks         sync.Pool     // of *chunk
	frames         sync.Pool     // of *frame

	candidate  *candidate // of an event type that is not declared yet; else nil
	seen       *seen      // of an event type whose fields are discovered; else nil
	discovered bool       // its first fields were
	apart      bool       // DiscoveryConfig.Apart
}

// field is a member of data that becomes a column. Its name is that of the member, which a declared field may rename.
type field struct {
	name  string
	kind  catalog.FieldType
	nulls []string // texts that mean null
	// coerce is catalog.Field.Coerce.
	coerce bool
	// decimal is what a decimal type is, else nil.
	decimal *decimal.Type
	prefix  []byte // of its value in the canonical form: length of the name, and the name
}

// declared are the event types of one catalog, and the requests that decode by them.
type declared struct {
	catalog   *catalog.Catalog
	types     map[string]*eventType
	maxFields int // largest number of fields that an event type declares
	room      int // for event types that are not declared yet
	requests  sync.Pool

	deadLetterType *eventType
}

// declare compiles a catalog. Dimensions that stay keep the values that they have had (caps).
func (s *Server) declare(c *catalog.Catalog, before *declared) *declared {
	d := &declared{catalog: c}
	if before == nil {
		before = &declared{}
	}
	d.types, d.maxFields = compileTypes(c, before.types)
	d.room = max(0, s.discovery.cfg.Types-c.Declared())
	s.discovery.openTypes(d, before)
	d.deadLetterType = compileType(0, c.Generation, deadletter.EventType())
	d.deadLetterType.findCapped(c) // Senders choose the values of a dead letter.
	d.deadLetterType.continues(before.deadLetterType)
	d.requests.New = func() any { return s.newRequest(d) }
	return d
}

// current returns the event types of the newest catalog that this process knows.
func (s *Server) current() *declared {
	d := s.declared.Load()
	c := s.catalog.Catalog()
	if d.catalog == c {
		return d
	}
	s.declaring.Lock()
	defer s.declaring.Unlock()
	if d = s.declared.Load(); d.catalog != c {
		d = s.declare(c, d)
		s.declared.Store(d)
	}
	return d
}

// compileTypes returns the event types that clients may send, by name, and the largest number of
// fields that one of them has. Types that were declared before continue.
func compileTypes(declared *catalog.Catalog, old map[string]*eventType) (types map[string]*eventType, maxFields int) {
	names := make([]string, 0, len(declared.Events))
	for name := range declared.Events {
		if !strings.HasPrefix(name, catalog.ReservedPrefix) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	types = make(map[string]*eventType, len(names))
	for i, name := range names {
		types[name] = compileType(i, declared.Generation, declared.Events[name])
		types[name].findCapped(declared)
		types[name].continues(old[name])
		maxFields = max(maxFields, len(types[name].fields))
	}
	return types, maxFields
}

func compileType(index int, generation uint64, e *catalog.EventType) *eventType {
	stored := e.Stored()
	t := &eventType{index: index, generation: generation, name: e.Name, nameBytes: []byte(e.Name),
		byName: make(map[string]int, len(stored.Fields)), schema: eventbatch.Schema(stored)}
	t.overflowSchema = eventbatch.OverflowSchema(t.schema)
	for i, f := range stored.Fields {
		prefix := binary.LittleEndian.AppendUint32(nil, uint32(len(f.Name)))
		prefix = append(prefix, f.Name...)
		compiled := field{name: f.Name, kind: f.Type, nulls: f.Nulls, coerce: f.Coerce, prefix: prefix}
		if d, ok := f.Type.Decimal(); ok {
			compiled.decimal = &d
		}
		t.fields = append(t.fields, compiled)
		t.byName[f.Name] = i
	}
	t.places = placesOf(e, stored)
	t.chunks.New = func() any { return &chunk{columns: newColumns(t)} }
	t.frames.New = func() any { return &frame{gathered: newColumns(t)} }
	return t
}

// continues makes dimensions that are capped as they were keep the values that they have had.
func (t *eventType) continues(old *eventType) {
	if old == nil {
		return
	}
	for _, f := range t.capped {
		for _, o := range old.capped {
			if f.name == o.name && f.kind == o.kind && f.attribute == o.attribute && slices.Equal(f.nulls, o.nulls) &&
				t.memberOf(f) == old.memberOf(o) {
				f.values = o.values
			}
		}
	}
}

// memberOf returns the member of data that a capped field reads, whose slot may change. It is empty for an attribute.
func (t *eventType) memberOf(f *cappedField) string {
	if f.slot < 0 {
		return ""
	}
	return t.fields[f.slot].name
}
