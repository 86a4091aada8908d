package batchview

import (
	"context"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/schemas/window"
)

// Rows are the rows of a view that a publication pins, for a statement that somebody else writes. They are those of all
// tenants.
type Rows struct {
	// Table is the name of the table that has them. It is empty if no row is pinned, and the table may then be missing.
	Table string
	// Where is the predicate of the pinned rows, over the table's columns.
	Where string

	listing *listing
	pins    *pins
	view    string
	n       uint64
}

// Rows proves that ClickHouse has exactly the rows that the state pins of a view, and returns how to read them. Where
// follows from the parts that the table had when they were last listed, as for a query. So a caller must ask Confirm
// after it has read the rows, and throw away what was read if Confirm returns an error.
//
// It returns a *GuardError if pinned rows are missing or changed (Q3), an error that wraps query.ErrCollected if the
// table is missing, and context.DeadlineExceeded. Any other error means that ClickHouse cannot answer.
func (v *Views) Rows(ctx context.Context, state *record.State, view *catalog.View) (*Rows, error) {
	published := state.Views[view.Name]
	p := pinsOf(published, window.MinTime, window.MaxTime+1, v.cfg.Bucket)
	r := &Rows{Where: always, pins: p, view: view.Name, n: state.N}
	if p.rows == 0 {
		return r, nil
	}
	r.Table = sqlschema.Table(view, p.digest)
	proof := v.proof(r.Table)
	if r.listing = proof.newest.Load(); r.listing == nil || check(r.listing, p, r.view, r.n) != nil {
		if err := v.prove(ctx, proof); err != nil {
			return nil, fmt.Errorf("check the rows of batch view %s: %w", view.Name, classify(ctx, err))
		}
		r.listing = proof.newest.Load()
	}
	if err := check(r.listing, p, r.view, r.n); err != nil {
		return nil, err
	}
	r.Where = p.condition(r.listing.facts(p.versions, p.width))
	return r, nil
}

// AreAllOf reports whether no row of the table is of another tenant, be it pinned or not.
func (r *Rows) AreAllOf(tenant string) bool {
	if r.Table == "" {
		return true
	}
	return !slices.ContainsFunc(r.listing.contents, func(c content) bool { return c.tenant != tenant })
}

// Confirm returns nil if a statement that began after Rows returned, and has ended, has read exactly the pinned rows. A
// part never changes, and no name comes back. So if the table has the parts that were proven, it had them all the time.
// It returns ErrChanging if the table has other parts, as after a merge. The rows may still be there, and the next Rows
// knows, because it lists the parts.
func (v *Views) Confirm(ctx context.Context, r *Rows) error {
	if r.Table == "" {
		return nil
	}
	parts, err := v.listParts(ctx, r.Table)
	switch {
	case err != nil:
		return fmt.Errorf("check the rows of batch view %s: %w", r.view, classify(ctx, err))
	case !slices.Equal(parts, r.listing.parts):
		v.proof(r.Table).newest.CompareAndSwap(r.listing, nil)
		return ErrChanging
	}
	return nil
}
