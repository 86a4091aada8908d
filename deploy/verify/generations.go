package verify

import (
	"context"
	"errors"

	"recount/schemas/record"
)

// checkCatalog reads every generation of the catalog (V13).
func checkCatalog(ctx context.Context, e *Evidence, r *recorder) error {
	keys, err := e.Records.List(ctx, record.GenerationPrefix)
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, key := range keys {
		n, err := record.GenerationNumber(key)
		if err != nil {
			r.find(V13, Place{File: key}, "move it away; recount does not write such keys", "%v", err)
		}
		newest = max(newest, n)
	}
	before := ""
	broken := false
	for n := uint64(1); n <= newest; n++ {
		key := record.GenerationKey(n)
		raw, err := e.Records.Get(ctx, key)
		var g *record.Generation
		if err == nil {
			g, err = record.DecodeGeneration(raw)
		}
		if err == nil && !broken {
			err = g.Follows(n-1, before)
		}
		if err != nil && !isFinding(err) {
			return err
		}
		if broken = err != nil; broken {
			r.find(V13, Place{File: key}, restore, "%v", err)
		}
		before = record.Digest(raw)
	}
	r.examine(V13, int64(newest), "generations of the catalog")
	return nil
}

// isFinding reports whether an error is about what is stored, and not about reading it.
func isFinding(err error) bool {
	return errors.Is(err, record.ErrNotFound) || errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrCorrupt)
}
