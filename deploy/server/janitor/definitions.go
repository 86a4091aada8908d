package janitor

import (
	"context"
	"errors"
	"maps"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
)

// Definition returns a catalog with the definition that a view had under a digest, or query.ErrNoDefinition. It returns
// the same catalog for the same definition.
type Definition func(ctx context.Context, view, digest string) (*catalog.Catalog, error)

// DefinitionsBefore returns what the real-time views count beside the views of the newest catalog: for each of these
// whose definition has changed, those that some publications have of it (S7).
func DefinitionsBefore(ctx context.Context, newest *catalog.Catalog, definition Definition,
	publications ...*record.State) (before []*catalog.Catalog, err error) {
	seen := map[string]bool{}
	for _, state := range publications {
		for _, name := range slices.Sorted(maps.Keys(state.Views)) {
			digest := state.Views[name].Digest
			v := newest.Views[name]
			if v == nil || newest.Names(v, digest) || seen[digest] {
				continue
			}
			seen[digest] = true
			old, err := definition(ctx, name, digest)
			if errors.Is(err, query.ErrNoDefinition) {
				continue // A program from before definitions were stored has published it.
			}
			if err != nil {
				return nil, err
			}
			before = append(before, old)
		}
	}
	return before, nil
}
