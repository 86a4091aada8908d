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

// eventType is a declared event type as the decoder and the committers want it.
type eventType struct {
	index  int // among all types, by name
	name   string
	label  []byte // the name, for the canonical form
	fields []field
	byName map[string]int
	capped []*cappedField
	schema *arrow.Schema // of batches without values too many, and
	over   *arrow.Schema // with
	chunks sync.Pool     // of *chunk
	frames sync.Pool     // of *frame
}

type field struct {
	name string
	kind catalog.FieldType
	mark []byte // what stands before a value in the canonical form: name length, name, type
}

// compileTypes returns the event types of the catalog by name and the largest number of fields of one.
func compileTypes(cat *catalog.Catalog) (types map[string]*eventType, fields int) {
	names := make([]string, 0, len(cat.Events))
	for name := range cat.Events {
		if !strings.HasPrefix(name, catalog.ReservedPrefix) { // Nobody can send those.
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	types = make(map[string]*eventType, len(names))
	for i, name := range names {
		types[name] = compileType(i, cat.Events[name])
		types[name].findCapped(cat)
		fields = max(fields, len(types[name].fields))
	}
	return types, fields
}

func compileType(index int, e *catalog.EventType) *eventType {
	t := &eventType{index: index, name: e.Name, label: []byte(e.Name), byName: make(map[string]int, len(e.Fields)),
		schema: eventbatch.Schema(e)}
	t.over = eventbatch.OverflowSchema(t.schema)
	for i, f := range e.Fields {
		mark := binary.LittleEndian.AppendUint32(nil, uint32(len(f.Name)))
		mark = append(append(mark, f.Name...), f.Type[0])
		t.fields = append(t.fields, field{name: f.Name, kind: f.Type, mark: mark})
		t.byName[f.Name] = i
	}
	t.chunks.New = func() any { return &chunk{columns: newColumns(t)} }
	t.frames.New = func() any { return &frame{gathered: newColumns(t)} }
	return t
}
