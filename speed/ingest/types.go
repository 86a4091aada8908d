package ingest

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// eventType is a declared event type, with what the decoder and the committers need of it.
type eventType struct {
	index          int // among all types in the order of their names
	name           string
	nameBytes      []byte
	fields         []field
	byName         map[string]int
	capped         []*cappedField
	schema         *arrow.Schema
	overflowSchema *arrow.Schema // with the column of messages that have an event with a value too many
	chunks         sync.Pool     // of *chunk
	frames         sync.Pool     // of *frame
}

// field is a member of data that becomes a column. Its name is that of the member, which a declared field may rename.
type field struct {
	name   string
	kind   catalog.FieldType
	nulls  []string // texts that mean null
	prefix []byte   // of its value in the canonical form: length of the name, and the name
}

// compileTypes returns the event types that clients may send, by name, and the largest number of
// fields that one of them has.
func compileTypes(declared *catalog.Catalog) (types map[string]*eventType, maxFields int) {
	names := make([]string, 0, len(declared.Events))
	for name := range declared.Events {
		if !strings.HasPrefix(name, catalog.ReservedPrefix) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	types = make(map[string]*eventType, len(names))
	for i, name := range names {
		types[name] = compileType(i, declared.Events[name])
		types[name].findCapped(declared)
		maxFields = max(maxFields, len(types[name].fields))
	}
	return types, maxFields
}

func compileType(index int, e *catalog.EventType) *eventType {
	stored := e.Stored()
	t := &eventType{index: index, name: e.Name, nameBytes: []byte(e.Name),
		byName: make(map[string]int, len(stored.Fields)), schema: eventbatch.Schema(stored)}
	t.overflowSchema = eventbatch.OverflowSchema(t.schema)
	for i, f := range stored.Fields {
		prefix := binary.LittleEndian.AppendUint32(nil, uint32(len(f.Name)))
		prefix = append(prefix, f.Name...)
		t.fields = append(t.fields, field{name: f.Name, kind: f.Type, nulls: f.Nulls, prefix: prefix})
		t.byName[f.Name] = i
	}
	t.chunks.New = func() any { return &chunk{columns: newColumns(t)} }
	t.frames.New = func() any { return &frame{gathered: newColumns(t)} }
	return t
}
