package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/record"
)

// checkCatalog reads every generation of the catalog (V13). Publications and messages were read before, so that each
// generation that one of them names is there.
func checkCatalog(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	keys, err := e.Records.List(ctx, record.GenerationPrefix)
	if err != nil {
		return err
	}
	var stored []uint64
	for _, key := range keys {
		n, err := record.GenerationNumber(key)
		if err != nil {
			r.find(V13, Place{File: key}, "move it away; recount does not write such keys", "%v", err)
			continue
		}
		stored = append(stored, n)
	}
	slices.Sort(stored)
	newest := uint64(0)
	before := ""
	broken := false
	for _, n := range stored {
		if n != newest+1 {
			lackGenerations(r, newest+1, fmt.Sprintf("generation %d is stored", n))
			broken = true
		}
		raw, err := e.Records.Get(ctx, record.GenerationKey(n))
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
			r.find(V13, Place{File: record.GenerationKey(n)}, restore, "%v", err)
		}
		before = record.Digest(raw)
		newest = n
	}
	if named := namedBy(s, newest); named != "" {
		lackGenerations(r, newest+1, named)
	}
	r.examine(V13, int64(len(stored)), "generations of the catalog")
	return nil
}

// namedBy says what names a generation after the newest one. It is empty if nothing does.
func namedBy(s *snapshot, newest uint64) string {
	for _, p := range slices.Backward(s.publications) {
		if p.Generation > newest {
			return fmt.Sprintf("publication %d names generation %d", p.N, p.Generation)
		}
	}
	if m := s.decoded; m.generation > newest {
		return fmt.Sprintf("message %d of partition %d was decoded by generation %d", m.seq, m.partition, m.generation)
	}
	return ""
}

// lackGenerations reports that generations from n on are missing. There is one finding for all of them, because a stray
// key may have any number.
func lackGenerations(r *recorder, n uint64, why string) {
	r.find(V13, Place{File: record.GenerationKey(n)}, restore, "generation %d of the catalog is missing, and %s", n,
		why)
}

// isFinding reports whether an error is about what is stored, and not about reading it.
func isFinding(err error) bool {
	return errors.Is(err, record.ErrNotFound) || errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrCorrupt)
}
