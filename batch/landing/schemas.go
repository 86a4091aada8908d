package landing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

const schemaPrefix = "schema/"

// maxSchema is the largest stored event type in bytes.
const maxSchema = 1 << 20

// schemaKey is the key of the stored event type, with the fields that objects hold. The document
// at schema/type=hit/0123456789abcdef.json is
//
//	{"format":1,"name":"hit","fields":[{"name":"page","type":"string"}]}    fields in the order of names
func schemaKey(e *catalog.EventType) string {
	return fmt.Sprintf("%stype=%s/%s.json", schemaPrefix, e.Name, e.SchemaID())
}

// storedSchema is the document of an event type.
type storedSchema struct {
	record.Header
	*catalog.EventType
}

// createSchema stores the event type before a record names its id. The key is made from the content, so
// a document of another format that is there already says the same.
func createSchema(ctx context.Context, records record.CommitLog, e *catalog.EventType) error {
	raw, err := json.Marshal(storedSchema{record.NewHeader(), e})
	if err != nil {
		return fmt.Errorf("encode event type %s: %w", e.Name, err)
	}
	outcome, there, err := records.Create(ctx, schemaKey(e), raw)
	if err == nil && outcome != record.Created {
		_, err = decodeSchema(schemaKey(e), there)
	}
	return err
}

// StoredSchemas returns every schema that objects of the lake have, by event type and in the order
// of ids. catalog.Changes says what a declaration changes of them.
func StoredSchemas(ctx context.Context, records record.CommitLog) (map[string][]*catalog.EventType, error) {
	keys, err := records.List(ctx, schemaPrefix)
	if err != nil {
		return nil, err
	}
	out := map[string][]*catalog.EventType{}
	for window := range slices.Chunk(keys, windowGets) {
		raws, err := getAll(ctx, records, window)
		if err != nil {
			return nil, fmt.Errorf("read stored schemas: %w", err)
		}
		for i, key := range window {
			e, err := decodeSchema(key, raws[i])
			if err != nil {
				return nil, err
			}
			out[e.Name] = append(out[e.Name], e)
		}
	}
	return out, nil
}

// StoredSchema returns the schema that an object of an event type names: the fields that the object holds.
func StoredSchema(ctx context.Context, records record.CommitLog, eventType, id string) (*catalog.EventType, error) {
	key := fmt.Sprintf("%stype=%s/%s.json", schemaPrefix, eventType, id)
	raw, err := records.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read stored schema: %w", err)
	}
	return decodeSchema(key, raw)
}

// decodeSchema reads a document, whose key must be the key of its content.
func decodeSchema(key string, raw []byte) (*catalog.EventType, error) {
	var e catalog.EventType
	s := storedSchema{EventType: &e}
	if len(raw) > maxSchema {
		return nil, fmt.Errorf("%w: stored schema %s has %d bytes, above the limit of %d",
			record.ErrInvalid, key, len(raw), maxSchema)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%w: stored schema %s: %w", record.ErrInvalid, key, err)
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("stored schema %s: %w", key, err)
	}
	if want := schemaKey(&e); key != want {
		return nil, fmt.Errorf("%w: stored schema %s holds the schema %s", record.ErrInvalid, key,
			strings.TrimPrefix(want, schemaPrefix))
	}
	return &e, nil
}
