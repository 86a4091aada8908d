package server

import (
	"context"
	"fmt"

	"recount/batch/preview"
	"recount/deploy/server/generations"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/record"
	"recount/serving/api"
)

// declarations serves the generations of the catalog to the API.
type declarations struct {
	chain    *generations.Chain
	previews *preview.Store
}

func (s *Server) declarations() declarations {
	return declarations{s.generations, preview.New(preview.Config{Chains: s.currentChains, Open: s.openUnverified,
		Log: explainedLog{source{s.engines.log}}})}
}

func (d declarations) Newest(ctx context.Context) (uint64, *catalog.Catalog, error) {
	if err := d.chain.Refresh(ctx); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", api.ErrCatalog, err)
	}
	g := d.chain.Current()
	return g.N, g.Catalog, nil
}

func (d declarations) Propose(ctx context.Context,
	change func(*catalog.Catalog) (*catalog.Catalog, error)) (uint64, error) {
	var refused error
	g, err := d.chain.Propose(ctx, func(newest *catalog.Catalog) (*catalog.Catalog, error) {
		var next *catalog.Catalog
		next, refused = change(newest)
		return next, refused
	})
	switch {
	case refused != nil:
		return 0, refused
	case err != nil:
		return 0, fmt.Errorf("%w: %w", api.ErrCatalog, err)
	}
	return g.N, nil
}

func (d declarations) Apply(ctx context.Context, file *catalog.Catalog, dry bool) (*api.Applied, error) {
	a, err := applyFile(ctx, d.chain, file, dry)
	if err != nil && a == nil {
		return nil, fmt.Errorf("%w: %w", api.ErrCatalog, err)
	}
	return a, err
}

func (d declarations) Preview(ctx context.Context, c *catalog.Catalog,
	views []*catalog.View) ([]openapi.Preview, error) {
	return d.previews.Views(ctx, c, views)
}

// applyFile makes a generation of a file, which decides wherever it and requests have both changed something. A dry run
// only says what it would make. A file that declares nothing changes nothing. If the result would be no valid catalog,
// it returns its mistakes and a result.
func applyFile(ctx context.Context, chain *generations.Chain, file *catalog.Catalog, dry bool) (*api.Applied, error) {
	var g *generations.Generation
	var d generations.Difference
	var err error
	if declared := record.DeclarationsOf(file); len(declared.Events)+len(declared.Views) == 0 {
		err = chain.Refresh(ctx)
		g = chain.Current()
		d = generations.Difference{Before: g.Catalog, After: g.Catalog} // It leaves the catalog as it is (G2).
	} else if dry {
		if err = chain.Refresh(ctx); err == nil {
			g = chain.Current()
			d = generations.Compare(g, file, true)
		}
	} else {
		g, d, err = chain.Apply(ctx, file, true)
	}
	if err != nil && d.Refused == nil {
		return nil, err
	}
	out := &api.Applied{Before: d.Before, After: d.After, Kept: conflicts(d, file, d.Kept),
		Conflicts: conflicts(d, file, d.Overruled())}
	if g != nil {
		out.Generation = g.N
	}
	return out, d.Refused
}

// conflicts returns declarations with their forms.
func conflicts(d generations.Difference, file *catalog.Catalog, edits []generations.Edit) (out []openapi.Conflict) {
	for _, e := range edits {
		form := func(c *catalog.Catalog) []byte {
			if n := declaration.FormOf(c, string(e.Kind), e.Name); n != nil {
				return declaration.JSON(n)
			}
			return []byte("null")
		}
		out = append(out, openapi.Conflict{Kind: string(e.Kind), Name: e.Name, Applied: form(d.Applied),
			File: form(file), Stored: form(d.Before)})
	}
	return out
}
