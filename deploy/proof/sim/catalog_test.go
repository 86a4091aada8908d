package sim

import (
	"context"
	"errors"
	"fmt"

	"recount/deploy/server/generations"
	"recount/deploy/server/janitor"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/merge"
	"recount/serving/reader"
)

// bootCatalog opens the chain of generations of the catalog. The first process makes the first one.
func (n *node) bootCatalog(p *proc) (err error) {
	n.chain, err = generations.Open(p.ctx, generations.Config{Bucket: bucket}, openRecords(n.w, p, " by the catalog"))
	if err != nil {
		return err
	}
	if n.chain.Current().N == 0 {
		_, _, err = n.chain.Apply(p.ctx, catalogs[0], false)
	}
	return err
}

// declared returns the catalog that the node's process knows.
func (n *node) declared() *catalog.Catalog { return n.source().Catalog() }

func (n *node) source() catalog.Source {
	if n.chain == nil {
		return n.catalog
	}
	return n.chain
}

func (n *node) newestGeneration(ctx context.Context) (uint64, *catalog.Catalog, error) {
	err := n.chain.Refresh(ctx)
	g := n.chain.Current()
	return g.N, g.Catalog, err
}

// liveDefinitions returns what the real-time views count, as package server has it.
func (n *node) liveDefinitions() (c *catalog.Catalog, before []*catalog.Catalog) {
	c = n.declared()
	if n.w.liveCatalog {
		before, _ = janitor.DefinitionsBefore(n.p.ctx, c, definition, n.publisher.OldestKept(), n.publisher.State())
	}
	return c, before
}

// definitions are the views of all catalogs, by digest.
var definitions = func() map[string]*catalog.Catalog {
	out := map[string]*catalog.Catalog{}
	for _, c := range catalogs {
		for name, v := range c.Views {
			out[c.Digest(v)] = &catalog.Catalog{Events: c.Events, Bucket: c.Bucket,
				Views: map[string]*catalog.View{name: v}}
		}
	}
	return out
}()

// definition is publish.Publisher.Definition without the store.
func definition(_ context.Context, _, digest string) (*catalog.Catalog, error) {
	if c := definitions[digest]; c != nil {
		return c, nil
	}
	return nil, query.ErrNoDefinition
}

// runCatalog follows the catalog, late and at times very late. Node A also changes it, and at last to the one that the
// seed is to end with.
func (n *node) runCatalog(p *proc) {
	rng := p.newRand("declares") // The label is part of the seed.
	for p.sleep(1 + rng.IntN(n.pace(20))) {
		before := n.chain.Current().N
		target := catalogs[len(catalogs)-1]
		if n.w.bad > 0 {
			target = catalogs[rng.IntN(len(catalogs))]
		}
		if n.name != "A" || n.w.bad > 0 && rng.IntN(3) > 0 {
			_ = n.chain.Refresh(p.ctx)
		} else if g, err := n.chain.Propose(p.ctx, func(*catalog.Catalog) (*catalog.Catalog, error) {
			return target, nil
		}); err == nil && g.N > before {
			n.w.observe("the catalog is changed while processes run")
		}
		if n.chain.Current().N > before+1 {
			n.w.observe("a process learns of two generations at once")
		}
	}
}

// definitionsOf returns the catalogs with which an answer may have been computed: the one whose definition its
// publication has, or where it has none, those that the process had before and after.
func (n *node) definitionsOf(q *query.Query, a *merge.Answer, before *catalog.Catalog) []*catalog.Catalog {
	if !n.w.liveCatalog {
		return []*catalog.Catalog{n.catalog}
	}
	if (q.Mode != query.Live || q.AsOf != nil) && a.Accuracy.Publication > 0 {
		digest := n.w.states[a.Accuracy.Publication-1].Views[q.View].Digest
		if now := n.declared(); now.Views[q.View] != nil && now.Digest(now.Views[q.View]) != digest {
			n.w.observe("answer: by the definition of its publication, which is not the newest")
		}
		return []*catalog.Catalog{definitions[digest]}
	}
	return []*catalog.Catalog{before, n.declared()}
}

// isRemoved reports whether a query fails because its view was removed, or not declared yet.
func (n *node) isRemoved(err error) bool {
	var e *query.Error
	return n.w.liveCatalog && (errors.As(err, &e) && e.Field == "view" ||
		errors.Is(err, reader.ErrNotInPublication))
}

// checkGeneration fails if a publication is of an earlier generation than the one before it (G4).
func (w *world) checkGeneration(before, next *record.State) error {
	if next.Generation() < before.Generation() {
		return fmt.Errorf("publication %d is of generation %d of the catalog, and the one before it of %d", next.N,
			next.Generation(), before.Generation())
	}
	return nil
}
