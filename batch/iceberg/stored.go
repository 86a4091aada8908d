package iceberg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/record"
)

// load reads a version of the table, and checks that it can be continued.
func (a *attempt) load(ctx context.Context, version int64) error {
	raw, err := a.w.getKey(ctx, a.folder+metadataName(version))
	if err != nil {
		return err
	}
	if a.table, err = decodeTable(raw); err != nil {
		return err
	}
	if a.Location != a.location() {
		return fmt.Errorf("%w: it was at %s", errUnusable, a.Location)
	}
	if err := a.checkStored(ctx); err != nil {
		return err
	}
	if a.manifests, err = a.w.manifestsOf(ctx, a.last()); err != nil {
		return err
	}
	return a.checkFiles(ctx)
}

// checkStored compares the stored table with what is committed.
func (a *attempt) checkStored(ctx context.Context) error {
	stored := a.horizon()
	known := a.horizons[a.eventType]
	if known.After(stored) {
		return fmt.Errorf("%w: objects were retired", errUnusable)
	}
	if stored.After(known) { // This process does not know the horizon yet, and its objects may be gone.
		a.horizons[a.eventType] = stored
	}
	for _, s := range a.Snapshots {
		for _, k := range a.kept.States {
			if int64(k.N) == s.ID && k.Digest != s.Summary[summaryDigest] {
				return fmt.Errorf("%w: snapshot %d is of another publication", errUnusable, s.ID)
			}
		}
	}
	return a.checkLast(ctx)
}

// checkLast checks that the last snapshot is of a publication of this history: what the table lacks follows from that
// snapshot's cut. Records that were restored from a copy may end before it. The record is read after the table, so one
// that another process has just published is there.
func (a *attempt) checkLast(ctx context.Context) error {
	last := a.last()
	if slices.ContainsFunc(a.kept.States, func(k *record.State) bool { return int64(k.N) == last.ID }) {
		return nil // checkStored has compared it.
	}
	raw, err := a.w.cfg.Records.Get(ctx, record.PublicationKey(uint64(last.ID)))
	switch {
	case errors.Is(err, record.ErrNotFound) && last.ID > int64(a.kept.newest().N):
		return fmt.Errorf("%w: there is no publication %d", errUnusable, last.ID)
	case errors.Is(err, record.ErrNotFound): // It was forgotten.
		return nil
	case err == nil && record.Digest(raw) != last.Summary[summaryDigest]:
		return fmt.Errorf("%w: snapshot %d is of another publication", errUnusable, last.ID)
	}
	return err
}

// checkFiles looks once in the life of a process for all files that the table names.
func (a *attempt) checkFiles(ctx context.Context) error {
	if a.w.checked[a.eventType] {
		return nil
	}
	there := map[string]bool{}
	for info, err := range a.w.cfg.Store.List(ctx, a.folder, "") {
		if err != nil {
			return err
		}
		there[a.w.cfg.Store.URL(info.Key)] = true
	}
	named, err := a.w.namedFiles(ctx, a.table)
	if err != nil {
		return err
	}
	for path := range named {
		if !there[path] {
			return fmt.Errorf("%w: %s is missing", errUnusable, path)
		}
	}
	a.w.checked[a.eventType] = true
	return nil
}

// manifestsOf reads the manifest list of a snapshot.
func (w *Writer) manifestsOf(ctx context.Context, s *snapshot) ([]*manifest, error) {
	raw, err := w.get(ctx, s.ManifestList)
	if err != nil {
		return nil, err
	}
	manifests, err := decodeFile[manifest](raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnusable, s.ManifestList, err)
	}
	return manifests, nil
}

// namedFiles returns the paths of the manifests and manifest lists that a table names.
func (w *Writer) namedFiles(ctx context.Context, t *table) (map[string]bool, error) {
	named := map[string]bool{}
	for _, s := range t.Snapshots {
		named[s.ManifestList] = true
		manifests, err := w.manifestsOf(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			named[m.Path] = true
		}
	}
	return named, nil
}

// newestVersion returns the newest version of a table, or 0 if there is none, and makes the hint name it. The hint lags
// where a process ended after its commit, and it may be lost, or name a version that is lost.
func (w *Writer) newestVersion(ctx context.Context, folder string) (version int64, err error) {
	raw, err := w.cfg.Store.Get(ctx, folder+hintName)
	if err != nil && !errors.Is(err, record.ErrNotFound) {
		return 0, err
	}
	hint, err := strconv.ParseInt(string(raw), 10, 64)
	if err == nil {
		if version, err = w.versionFrom(ctx, folder, hint); err != nil {
			return 0, err
		}
	}
	if version == 0 {
		if version, err = w.listVersions(ctx, folder); err != nil {
			return 0, err
		}
	}
	switch {
	case version == 0 && len(raw) > 0: // All versions are lost.
		return 0, w.cfg.Store.Delete(ctx, folder+hintName)
	case version != hint && version > 0:
		return version, w.putHint(ctx, folder, version)
	}
	return version, nil
}

// versionFrom returns the last of the versions that follow each other from first on, or 0 if there is no first.
func (w *Writer) versionFrom(ctx context.Context, folder string, first int64) (version int64, err error) {
	for n := first; ; n++ {
		_, err := w.cfg.Store.Head(ctx, folder+metadataName(n))
		if errors.Is(err, record.ErrNotFound) {
			return version, nil
		}
		if err != nil {
			return 0, err
		}
		version = n
	}
}

// listVersions returns the highest version of a table in the store.
func (w *Writer) listVersions(ctx context.Context, folder string) (version int64, err error) {
	for info, err := range w.cfg.Store.List(ctx, folder+"v", "") {
		if err != nil {
			return 0, err
		}
		if n, ok := versionOf(strings.TrimPrefix(info.Key, folder)); ok {
			version = max(version, n)
		}
	}
	return version, nil
}

// getKey reads a file of a table. A file that is missing makes the table unusable.
func (w *Writer) getKey(ctx context.Context, key string) ([]byte, error) {
	raw, err := w.cfg.Store.Get(ctx, key)
	if errors.Is(err, record.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return raw, err
}

// folder returns the prefix of the keys of a table's files.
func folder(eventType string) string { return prefix + eventType + "/metadata/" }

// metadataName returns the name of a version of the table's metadata.
func metadataName(version int64) string { return fmt.Sprintf("v%d.metadata.json", version) }

// versionOf is the reverse of metadataName.
func versionOf(name string) (version int64, ok bool) {
	version, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(name, "v"), ".metadata.json"), 10, 64)
	return version, err == nil && metadataName(version) == name
}
