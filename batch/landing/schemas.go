package landing

import (
	"bytes"
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
//	{"name":"hit","fields":[{"name":"page","type":"string"}]}    fields in the order of names
func schemaKey(e *catalog.EventType) string {
	return fmt.Sprintf("%stype=%s/%s.json", schemaPrefix, e.Name, e.SchemaID())
}

// createSchema stores the event type before a record names its id. Equal types have equal
// documents, so two writers of one key agree.
func createSchema(ctx context.Context, records record.CommitLog, e *catalog.EventType) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event type %s: %w", e.Name, err)
	}
	outcome, _, err := records.Create(ctx, schemaKey(e), raw)
	if err == nil && outcome != record.Created {
		err = fmt.Errorf("%w: %s holds another document", record.ErrInvalid, schemaKey(e))
	}
	return err
}

// StoredSchemas returns every schema that objects of the lake have, by event type and in the order
// of ids. catalog.CheckEvolution says whether a declared type is compatible with them.
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

// decodeSchema reads a document strictly: its key must be the key of its content.
func decodeSchema(key string, raw []byte) (*catalog.EventType, error) {
	var e catalog.EventType
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if len(raw) > maxSchema {
		return nil, fmt.Errorf("%w: stored schema %s has %d bytes, above the limit of %d",
			record.ErrInvalid, key, len(raw), maxSchema)
	}
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: stored schema %s: %w", record.ErrInvalid, key, err)
	}
	if want := schemaKey(&e); key != want {
		return nil, fmt.Errorf("%w: stored schema %s holds the schema %s", record.ErrInvalid, key,
			strings.TrimPrefix(want, schemaPrefix))
	}
	return &e, nil
}
