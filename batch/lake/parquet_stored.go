package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

// SchemaPrefix is the prefix of the event types the lake holds data of, one document
// for each schema id that a commit record names.
const SchemaPrefix = "schema/"

// SchemaKey returns the key of the document of an event type.
func SchemaKey(e *catalog.EventType) string {
	return fmt.Sprintf("%stype=%s/%s.json", SchemaPrefix, e.Name, e.SchemaID())
}

// SchemaLog is the part of a commit log that keeps event types: CommitLog or DirCommitLog.
type SchemaLog interface {
	Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error)
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
}

// StoreSchema keeps the event type under its schema id, unless it is there already. It
// must be done before a commit record names the id, so that whoever reads the record
// can know the types without opening an object.
func StoreSchema(ctx context.Context, log SchemaLog, e *catalog.EventType) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("store schema of %s: %w", e.Name, err)
	}
	outcome, there, err := log.Create(ctx, SchemaKey(e), body)
	if err != nil {
		return fmt.Errorf("store schema of %s: %w", e.Name, err)
	}
	if outcome == record.Exists && !bytes.Equal(there, body) {
		return fmt.Errorf("store schema of %s: %s holds another document: %w", e.Name, SchemaKey(e), record.ErrInvalid)
	}
	return nil
}

// storedReads is how many schema documents are fetched at once.
const storedReads = 16

// StoredSchemas returns every event type the lake holds data of, by name, for
// catalog.CheckEvolution. A type has several where fields were added.
func StoredSchemas(ctx context.Context, log SchemaLog) (map[string][]catalog.EventType, error) {
	keys, err := log.List(ctx, SchemaPrefix)
	if err != nil {
		return nil, fmt.Errorf("stored schemas: %w", err)
	}
	types := make([]catalog.EventType, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(storedReads)
	for i, key := range keys {
		g.Go(func() error {
			raw, err := log.Get(ctx, key)
			if err != nil {
				return fmt.Errorf("stored schemas: %w", err)
			}
			types[i], err = decodeSchema(key, raw)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := map[string][]catalog.EventType{}
	for _, e := range types {
		out[e.Name] = append(out[e.Name], e)
	}
	return out, nil
}

func decodeSchema(key string, raw []byte) (e catalog.EventType, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("stored schema %s: %w: %w", key, record.ErrInvalid, err)
	}
	if !strings.HasSuffix(key, SchemaKey(&e)) {
		return e, fmt.Errorf("stored schema %s: %w: it holds %s of %s", key, record.ErrInvalid, e.SchemaID(), e.Name)
	}
	return e, nil
}
