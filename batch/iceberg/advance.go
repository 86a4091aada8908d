package iceberg

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"recount/batch/landing"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

const (
	defaultManifestFiles = 8192 // files of the largest manifest
	defaultFanOut        = 16   // so many manifests of one size are merged into one
)

// attempt is one attempt at the next version of a table.
type attempt struct {
	w    *Writer
	kept *Kept
	*table
	eventType string
	folder    string // of the metadata, a prefix of keys
	horizons  record.Horizons
}

// advance adds the snapshots of the publications that the table lacks, and reports whether there are any.
func (a *attempt) advance(ctx context.Context) (changed bool, err error) {
	cut, err := a.cut(len(a.kept.Chains))
	if err != nil {
		return false, err
	}
	for _, s := range a.kept.States {
		if last := a.last(); last != nil && int64(s.N) <= last.ID {
			continue
		}
		chains := since(a.kept.Chains, cut)
		added, err := a.addObjects(ctx, s, chains)
		if err != nil {
			return false, err
		}
		if len(added) == 0 {
			continue
		}
		if err := a.writeSnapshot(ctx, s, added); err != nil {
			return false, err
		}
		changed = true
		for p, h := range s.H {
			cut[p] = h.Seq
		}
	}
	if a.rebuilt && !changed { // All objects are retired, and readers have a table that names them.
		return true, a.writeSnapshot(ctx, a.kept.newest(), nil)
	}
	return changed, nil
}

// since returns the chains from a cut on.
func since(chains []*record.Chain, cut []uint64) []*record.Chain {
	out := make([]*record.Chain, len(chains))
	for p, c := range chains {
		i, _ := slices.BinarySearchFunc(c.Segments, cut[p], func(s *record.Commit, seq uint64) int {
			if s.Start < seq {
				return -1
			}
			return 1
		})
		later := *c
		later.Segments = c.Segments[i:]
		out[p] = &later
	}
	return out
}

// addObjects writes manifests of the objects that a publication counts and the table lacks. It returns these manifests.
func (a *attempt) addObjects(ctx context.Context, s *record.State, chains []*record.Chain) (
	added []*manifest, err error) {
	for _, o := range record.CommittedObjects(chains, s.H, a.horizons, a.eventType) {
		fields, err := a.w.fields(ctx, a.eventType, o.Schema)
		if err != nil {
			return nil, err
		}
		a.addFields(fields)
	}
	var entries []*entry
	flush := func() error {
		m, err := a.writeManifest(ctx, entries, int64(s.N))
		entries = nil
		added = append(added, m)
		return err
	}
	for segment, o := range record.CommittedObjects(chains, s.H, a.horizons, a.eventType) {
		width := chains[segment.Partition].Bucket.Microseconds()
		entries = append(entries, newEntry(a.w.cfg.Store.URL(o.Key), o, int64(s.N), width))
		if len(entries) == a.w.manifestFiles {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if len(entries) > 0 {
		err = flush()
	}
	return added, err
}

// fields returns the fields that objects of a stored schema have. Schemas are few and never change, so all are kept.
func (w *Writer) fields(ctx context.Context, eventType, schemaID string) ([]catalog.Field, error) {
	key := eventType + "/" + schemaID
	if e, ok := w.schemas[key]; ok {
		return e.Fields, nil
	}
	e, err := landing.StoredSchema(ctx, w.cfg.Records, eventType, schemaID)
	if err != nil {
		return nil, err
	}
	w.schemas[key] = e
	return e.Fields, nil
}

// writeManifest stores a manifest with the entries.
func (a *attempt) writeManifest(ctx context.Context, entries []*entry, n int64) (*manifest, error) {
	raw, m, err := encodeManifest(entries, a.currentSchema(), n)
	if err != nil {
		return nil, err
	}
	m.Path, err = a.putNew(ctx, fmt.Sprintf("files-%d-%016x.avro", n, rand.Uint64()), raw)
	return m, err
}

// putNew stores a file under a name that no other attempt uses, and returns its path.
func (a *attempt) putNew(ctx context.Context, name string, raw []byte) (path string, err error) {
	key := a.folder + name
	return a.w.cfg.Store.URL(key), a.w.cfg.Store.Put(ctx, key, bytes.NewReader(raw), int64(len(raw)))
}

// writeSnapshot makes a snapshot with the manifests of the one before it and the added ones.
func (a *attempt) writeSnapshot(ctx context.Context, state *record.State, added []*manifest) error {
	a.manifests = append(slices.Clone(a.manifests), added...)
	if err := a.merge(ctx, int64(state.N)); err != nil {
		return err
	}
	s := a.addSnapshot(state, added)
	raw, err := encodeList(a.manifests, s)
	if err != nil {
		return err
	}
	s.ManifestList, err = a.putNew(ctx, fmt.Sprintf("snap-%d-%016x.avro", s.ID, rand.Uint64()), raw)
	return err
}

// merge merges the newest manifests when fanOut of them are of one size. Sizes are between powers of fanOut, and the
// largest are left alone. So a table has few times fanOut small manifests, and an entry is written anew at most as
// often as there are sizes.
func (a *attempt) merge(ctx context.Context, n int64) error {
	for limit := a.w.fanOut; limit <= a.w.manifestFiles; limit *= a.w.fanOut {
		first := len(a.manifests)
		ofSize := 0
		for first > 0 && a.manifests[first-1].files() < limit {
			first--
			if a.manifests[first].files() >= limit/a.w.fanOut {
				ofSize++
			}
		}
		if ofSize < a.w.fanOut {
			continue
		}
		merged, err := a.mergeManifests(ctx, a.manifests[first:], n)
		if err != nil {
			return err
		}
		a.manifests = append(slices.Clone(a.manifests[:first]), merged...)
	}
	return nil
}

// mergeManifests writes manifests with all entries of some.
func (a *attempt) mergeManifests(ctx context.Context, manifests []*manifest, n int64) (merged []*manifest, err error) {
	var entries []*entry
	for _, m := range manifests {
		raw, err := a.w.get(ctx, m.Path)
		if err != nil {
			return nil, err
		}
		more, err := decodeFile[entry](raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUnusable, m.Path, err)
		}
		for _, e := range more {
			e.File.ColumnSizes = []size{} // Manifests of earlier versions lack it.
			if *e.Snapshot != n {
				e.Status = statusExisting
			}
		}
		entries = append(entries, more...)
		for len(entries) >= a.w.manifestFiles {
			full, err := a.writeManifest(ctx, entries[:a.w.manifestFiles], n)
			if err != nil {
				return nil, err
			}
			merged = append(merged, full)
			entries = slices.Clone(entries[a.w.manifestFiles:])
		}
	}
	if len(entries) > 0 {
		m, err := a.writeManifest(ctx, entries, n)
		if err != nil {
			return nil, err
		}
		merged = append(merged, m)
	}
	return merged, nil
}

// get reads a file of the table by its path.
func (w *Writer) get(ctx context.Context, path string) ([]byte, error) {
	key, ok := strings.CutPrefix(path, w.cfg.Store.URL(""))
	if !ok {
		return nil, fmt.Errorf("%w: %s is not in %s", errUnusable, path, w.cfg.Store.URL(""))
	}
	return w.getKey(ctx, key)
}
