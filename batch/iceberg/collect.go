package iceberg

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Collect deletes the files of tables that the newest version has not named for unusedFor, since this process has
// noticed. A reader that opened the version before has that long. It also notices files that are missing, and the next
// update then makes their table anew.
func (w *Writer) Collect(ctx context.Context) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.unlock()
	tables := map[string][]string{} // the files of each event type
	there := map[string]bool{}
	for info, err := range w.cfg.Store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		there[info.Key] = true
		eventType, _, _ := strings.Cut(strings.TrimPrefix(info.Key, prefix), "/")
		tables[eventType] = append(tables[eventType], info.Key)
	}
	for eventType := range w.checked {
		if _, found := tables[eventType]; !found {
			w.remake(eventType)
		}
	}
	for key := range w.unused {
		if !there[key] {
			delete(w.unused, key)
		}
	}
	var errs []error
	for eventType, keys := range tables {
		if err := w.collectTable(ctx, eventType, keys, there); err != nil {
			errs = append(errs, fmt.Errorf("collect files of the table of type %s: %w", eventType, err))
		}
	}
	return errors.Join(errs...)
}

// collectTable deletes those files of a table that its newest version has not named for unusedFor.
func (w *Writer) collectTable(ctx context.Context, eventType string, keys []string, there map[string]bool) error {
	version, err := w.newestVersion(ctx, folder(eventType))
	if err != nil {
		return err
	}
	if version == 0 && w.checked[eventType] { // Its versions are lost.
		w.remake(eventType)
	}
	named, err := w.namedKeys(ctx, folder(eventType), version)
	if errors.Is(err, errUnusable) {
		w.remake(eventType)
		return nil
	}
	if err != nil {
		return err
	}
	for key := range named {
		if !there[key] {
			w.remake(eventType)
		}
	}
	var unused []string
	for _, key := range keys {
		since, found := w.unused[key]
		switch {
		case named[key]:
			delete(w.unused, key)
		case !found:
			w.unused[key] = w.cfg.Now()
		case w.cfg.Now().Sub(since) >= unusedFor:
			unused = append(unused, key)
		}
	}
	return w.cfg.Store.Delete(ctx, unused...)
}

// namedKeys returns the keys of the files that a version of a table needs.
func (w *Writer) namedKeys(ctx context.Context, folder string, version int64) (map[string]bool, error) {
	if version == 0 {
		return nil, nil // No attempt has come to its end.
	}
	raw, err := w.getKey(ctx, folder+metadataName(version))
	if err != nil {
		return nil, err
	}
	t, err := decodeTable(raw)
	if err != nil {
		return nil, err
	}
	paths, err := w.namedFiles(ctx, t)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{folder + hintName: true, folder + metadataName(version): true}
	for path := range paths {
		named[strings.TrimPrefix(path, w.cfg.Store.URL(""))] = true
	}
	return named, nil
}

// remake makes the next update look at a table, and at all its files.
func (w *Writer) remake(eventType string) {
	w.mark(eventType)
	delete(w.checked, eventType)
}
