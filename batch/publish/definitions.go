package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/query"
	"recount/schemas/record"
)

// definitionPrefix is the prefix of the definitions of views.
const definitionPrefix = "view/"

// maxDefinition is the largest definition in bytes.
const maxDefinition = 16 << 20

// definition is what catalog.Catalog.Digest names: a view, the types of the columns it uses, and the bucket. A
// publication has only the digest, and a pinned one must be answerable when the view was changed or removed (P3).
// The document at view/hits/0123456789abcdef.json is
//
//	{"format":1,"view":{"name":"hits",…},"types":{"page":"string"},"bucket":3600000000000}
//
// The member fields has the declarations of the fields that are more than a member of data with a type
// (catalog.Catalog.Meanings). It is left out if there are none.
type definition struct {
	record.Header
	View   *catalog.View                `json:"view"`
	Types  map[string]catalog.FieldType `json:"types"`
	Fields []catalog.Field              `json:"fields,omitempty"`
	Bucket time.Duration                `json:"bucket"`
}

func definitionKey(view, digest string) string {
	return fmt.Sprintf("%s%s/%s.json", definitionPrefix, view, digest)
}

// useNewest makes the newest generation of the catalog the one of this attempt (G4). It never goes back to an earlier
// generation than that of a publication.
func (p *Publisher) useNewest(ctx context.Context) error {
	if p.cfg.Newest == nil || p.generation > 0 && failpoint.Off(failpoint.G4) {
		return nil
	}
	n, c, err := p.cfg.Newest(ctx)
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	if published := p.State().Generation(); n < published {
		return fmt.Errorf("%w: publication %d is of generation %d of the catalog, and the newest one that is stored "+
			"is %d; restore %s and later ones from a copy of the bucket", record.ErrMissing, p.State().N, published,
			n, record.GenerationKey(n+1))
	}
	if n != p.generation {
		p.cfg.Catalog = c
		p.defined = false
		p.views.Declare(c)
		if err := p.views.CreateTables(ctx); err != nil { // SQL VIEWs of new views need them.
			return err
		}
		p.generation = n
	}
	return nil
}

// createDefinitions stores the definitions of the declared views, once in a process and before a publication of it
// names their digests.
func (p *Publisher) createDefinitions(ctx context.Context) error {
	if p.defined {
		return nil
	}
	c := p.cfg.Catalog
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		v := c.Views[name]
		d := definition{record.NewHeader(), v, map[string]catalog.FieldType{}, c.Meanings(v), c.Bucket}
		for _, column := range v.Columns() {
			d.Types[column], _ = c.Events[v.Event].Column(column)
		}
		raw, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode the definition of view %s: %w", name, err)
		}
		for _, digest := range c.Digests(v) {
			// The key is made from the content, so a document that is there already says the same.
			if _, _, err := p.records.Create(ctx, definitionKey(name, digest), raw); err != nil {
				return fmt.Errorf("store the definition of view %s: %w", name, err)
			}
		}
	}
	p.defined = true
	return nil
}

// maxKnown is how many definitions a publisher keeps in memory.
const maxKnown = 256

// Definition returns a catalog that has one view, with the definition of the digest. The error wraps
// query.ErrNoDefinition if the definition is not stored.
func (p *Publisher) Definition(ctx context.Context, view, digest string) (*catalog.Catalog, error) {
	key := definitionKey(view, digest)
	p.mu.Lock()
	known := p.known[key]
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	raw, err := p.records.Get(ctx, key)
	if errors.Is(err, record.ErrNotFound) {
		return nil, fmt.Errorf("view %s, definition %s: %w", view, digest, query.ErrNoDefinition)
	}
	if err != nil {
		return nil, fmt.Errorf("read definition %s: %w", key, err)
	}
	c, err := decodeDefinition(raw)
	if err != nil {
		return nil, fmt.Errorf("read definition %s: %w", key, err)
	}
	if v := c.Views[view]; v == nil || !c.Names(v, digest) {
		return nil, fmt.Errorf("%w: %s holds another definition; restore it from a copy of the bucket",
			record.ErrInvalid, key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) == maxKnown {
		p.known = map[string]*catalog.Catalog{}
	}
	p.known[key] = c
	return c, nil
}

func decodeDefinition(raw []byte) (*catalog.Catalog, error) {
	if len(raw) > maxDefinition {
		return nil, fmt.Errorf("%w: %d bytes, above the limit of %d", record.ErrInvalid, len(raw), maxDefinition)
	}
	var d definition
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // The values of filters keep their digits, so the digest is the same.
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrInvalid, err)
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	if d.View == nil {
		return nil, fmt.Errorf("%w: it has no view", record.ErrInvalid)
	}
	event := &catalog.EventType{Name: d.View.Event, Fields: d.Fields}
	for _, name := range slices.Sorted(maps.Keys(d.Types)) {
		declared := slices.ContainsFunc(d.Fields, func(f catalog.Field) bool { return f.Name == name })
		if !declared && !slices.Contains(catalog.Attributes, name) { // A field would be read from data.
			event.Fields = append(event.Fields, catalog.Field{Name: name, Type: d.Types[name]})
		}
	}
	slices.SortFunc(event.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	c := &catalog.Catalog{Events: map[string]*catalog.EventType{event.Name: event},
		Views: map[string]*catalog.View{d.View.Name: d.View}, Bucket: d.Bucket}
	if err := c.RestoreFilters(); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrInvalid, err)
	}
	return c, nil
}
