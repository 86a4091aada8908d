package iceberg

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

const (
	// attempts bounds how often one update of a table begins again because another process was faster.
	attempts = 4
	// attemptTime bounds an attempt. It is far shorter than unusedFor, so no attempt relies on a file that goes.
	attemptTime = 10 * time.Minute
	// unusedFor is how long a file stays since a process noticed that no table names it.
	unusedFor = time.Hour

	prefix   = "iceberg/type="
	hintName = "version-hint.text"
)

// Kept is what is committed and may be read: the kept publications, ascending, with the commit chains and horizons.
type Kept struct {
	States   []*record.State
	Chains   []*record.Chain
	Horizons record.Horizons
}

// newest returns the newest publication.
func (k *Kept) newest() *record.State { return k.States[len(k.States)-1] }

// Config describes a writer.
type Config struct {
	Store        *lake.Store
	Records      record.CommitLog                     // has the stored schemas
	Installation string                               // the id, of which tables have their UUID
	Newest       func() uint64                        // the number of the newest publication that this process knows
	Kept         func(context.Context) (*Kept, error) // what the tables should have
	Logger       *slog.Logger                         // nil discards
	Registerer   prometheus.Registerer                // nil registers no metrics
	Now          func() time.Time
}

// Writer keeps the tables up to date. Its methods may be called concurrently, and other processes may have writers of
// the same tables.
type Writer struct {
	cfg     Config
	metrics *metrics

	manifestFiles int
	fanOut        int

	busy     chan struct{}        // holds a token while a method runs, and guards what follows
	cut      []uint64             // the types of segments before it were marked as pending; nil at first
	horizons record.Horizons      // those that were marked
	pending  map[string]time.Time // types whose table may lack something, and when it is tried; zero: at once
	checked  map[string]bool      // types whose files were looked for in the store
	unused   map[string]time.Time // since when no table names these files, by key
	schemas  map[string]*catalog.EventType
}

// New returns a writer.
func New(cfg Config) (*Writer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("iceberg: register metrics: %w", err)
	}
	return &Writer{cfg: cfg, metrics: m, manifestFiles: defaultManifestFiles, fanOut: defaultFanOut,
		busy: make(chan struct{}, 1), horizons: record.Horizons{}, pending: map[string]time.Time{},
		checked: map[string]bool{}, unused: map[string]time.Time{}, schemas: map[string]*catalog.EventType{}}, nil
}

const (
	lookEvery    = time.Second      // how soon a new publication is in the tables
	retryEvery   = time.Minute      // how soon a table that failed is tried again
	collectEvery = 30 * time.Minute // how often unused files are deleted
)

// Run keeps the tables up to date until the context ends. An error is logged and counted, and the next try follows:
// nothing waits for a table.
func (w *Writer) Run(ctx context.Context) error {
	var done uint64
	var again time.Time // when a failed update is tried again; zero: none has failed
	collectAt := w.cfg.Now().Add(collectEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
		if n := w.cfg.Newest(); n > done || !again.IsZero() && !w.cfg.Now().Before(again) {
			done = n
			var err error
			if again, err = w.update(ctx); err != nil && ctx.Err() == nil {
				w.failed("update", err)
			}
		}
		if w.cfg.Now().After(collectAt) {
			collectAt = w.cfg.Now().Add(collectEvery)
			if err := w.Collect(ctx); err != nil && ctx.Err() == nil {
				w.failed("collect", err)
			}
			done = 0 // A table whose files were lost is made anew.
		}
	}
}

func (w *Writer) failed(op string, err error) {
	w.metrics.failures.WithLabelValues(op).Inc()
	w.cfg.Logger.Warn("Iceberg tables lag; the next try follows", "op", op, "error", err)
}

// lock waits for the writer, but no longer than the context. Its unlock must be called if it returns no error.
func (w *Writer) lock(ctx context.Context) error {
	select {
	case w.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Writer) unlock() { <-w.busy }

// Update brings all tables up to the newest publication. A table that fails does not stop the others, and is tried
// again after retryEvery.
func (w *Writer) Update(ctx context.Context) error {
	_, err := w.update(ctx)
	return err
}

// update is Update. It returns when the next table that has failed is to be tried again, or zero if none has failed.
func (w *Writer) update(ctx context.Context) (again time.Time, err error) {
	now := w.cfg.Now()
	if err := w.lock(ctx); err != nil {
		return now.Add(retryEvery), err
	}
	defer w.unlock()
	kept, err := w.cfg.Kept(ctx)
	if err != nil {
		return now.Add(retryEvery), err
	}
	if len(kept.States) == 0 {
		return time.Time{}, nil
	}
	if w.cut == nil {
		if err := w.markStored(ctx); err != nil {
			return now.Add(retryEvery), err
		}
	}
	w.markTypes(kept)
	err = w.updatePending(ctx, kept)
	if len(w.pending) == 0 {
		w.metrics.publication.Set(float64(kept.newest().N))
		return time.Time{}, err
	}
	return slices.MinFunc(slices.Collect(maps.Values(w.pending)), time.Time.Compare), err
}

// updatePending brings the tables up to date that are pending and not to be tried later. Those that have failed come
// last, so that a slow failure holds up no other table.
func (w *Writer) updatePending(ctx context.Context, kept *Kept) error {
	byTime := func(a, b string) int { return cmp.Or(w.pending[a].Compare(w.pending[b]), cmp.Compare(a, b)) }
	var errs []error
	for _, eventType := range slices.SortedFunc(maps.Keys(w.pending), byTime) {
		if w.pending[eventType].After(w.cfg.Now()) {
			break
		}
		if err := w.updateTable(ctx, eventType, kept); err != nil {
			errs = append(errs, fmt.Errorf("table of type %s: %w", eventType, err))
			w.pending[eventType] = w.cfg.Now().Add(retryEvery)
			continue
		}
		delete(w.pending, eventType)
	}
	return errors.Join(errs...)
}

// UpdateType brings the table of one event type up to date. Call it after a horizon was raised and before objects are
// deleted, so that no table names an object that is gone. If it fails, the next Update does it.
func (w *Writer) UpdateType(ctx context.Context, eventType string) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.unlock()
	kept, err := w.cfg.Kept(ctx)
	if err != nil || len(kept.States) == 0 {
		return err
	}
	return w.updateTable(ctx, eventType, kept)
}

// markStored marks the event types as pending of which the store has tables, once in the life of a process: a restored
// copy of the records may lack the publications that they were made from, and even the type.
func (w *Writer) markStored(ctx context.Context) error {
	for info, err := range w.cfg.Store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		eventType, _, _ := strings.Cut(strings.TrimPrefix(info.Key, prefix), "/")
		w.mark(eventType)
	}
	return nil
}

// mark marks an event type as pending. One that is tried again later stays so.
func (w *Writer) mark(eventType string) {
	if _, found := w.pending[eventType]; !found {
		w.pending[eventType] = time.Time{}
	}
}

// markTypes marks the event types as pending that have objects which the newest publication counts and the one before
// did not, and those of which a horizon was raised.
func (w *Writer) markTypes(kept *Kept) {
	for eventType, horizon := range kept.Horizons {
		if horizon.After(w.horizons[eventType]) {
			w.mark(eventType)
			w.horizons[eventType] = horizon
		}
	}
	h := kept.newest().H
	if w.cut == nil {
		w.cut = make([]uint64, len(h))
	}
	for p, c := range since(kept.Chains, w.cut) {
		for _, segment := range c.Segments {
			if segment.End > h[p].Seq {
				break
			}
			for i := range segment.Objects {
				w.mark(segment.Objects[i].Type)
			}
		}
		w.cut[p] = h[p].Seq
	}
}

// updateTable brings one table up to date.
func (w *Writer) updateTable(ctx context.Context, eventType string, kept *Kept) error {
	for range attempts {
		won, err := w.attempt(ctx, eventType, kept)
		if won || err != nil {
			return err
		}
	}
	return fmt.Errorf("another process was faster %d times in a row", attempts)
}

// attempt makes and commits the next version of a table if it lacks something. It reports whether the table is up to
// date, and not whether another process was faster.
func (w *Writer) attempt(ctx context.Context, eventType string, kept *Kept) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	a := &attempt{w: w, kept: kept, eventType: eventType, folder: folder(eventType), horizons: record.Horizons{}}
	maps.Copy(a.horizons, kept.Horizons)
	version, err := w.newestVersion(ctx, a.folder)
	if err != nil {
		return false, err
	}
	changed, err := a.extend(ctx, version)
	if errors.Is(err, errUnusable) {
		w.cfg.Logger.Info("an Iceberg table is made anew", "type", eventType, "reason", err)
		a.table = newTable(a.location(), w.cfg.Installation, eventType)
		a.rebuilt = true
		changed, err = a.advance(ctx)
	}
	if err != nil || !changed {
		return err == nil, err
	}
	a.keepSnapshots(kept.States)
	if err := a.finish(a.horizons[eventType]); err != nil {
		return false, err
	}
	return a.commit(ctx, version+1)
}

// extend adds to the stored version of the table what it lacks. Without one it begins a table.
func (a *attempt) extend(ctx context.Context, version int64) (changed bool, err error) {
	if version == 0 {
		a.table = newTable(a.location(), a.w.cfg.Installation, a.eventType)
		return a.advance(ctx)
	}
	if err := a.load(ctx, version); err != nil {
		return false, err
	}
	return a.advance(ctx)
}

// location returns where the table is. Its data files are elsewhere in the lake: a program that removes what a table
// does not name looks below the location, and must find no object there.
func (a *attempt) location() string { return a.w.cfg.Store.URL(prefix + a.eventType) }

// commit makes the table the given version, unless another process has created that version. The create-only write is
// what commits: readers see the version before or this one.
func (a *attempt) commit(ctx context.Context, version int64) (won bool, err error) {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(a.table); err != nil {
		return false, err
	}
	raw := document.Bytes()
	key := a.folder + metadataName(version)
	if err := a.w.cfg.Store.CreateOnce(ctx, key, raw); err != nil {
		there, readErr := a.w.cfg.Store.Get(ctx, key)
		if errors.Is(readErr, record.ErrNotFound) {
			return false, err
		}
		if readErr != nil {
			return false, errors.Join(err, readErr)
		}
		if !bytes.Equal(there, raw) {
			return false, nil
		}
	}
	a.w.metrics.commits.Inc()
	a.w.checked[a.eventType] = true // What this process has not looked for, it has written.
	return true, a.w.putHint(ctx, a.folder, version)
}

// putHint tells readers which version is the newest. They need no more than one that is whole, so it may lag. It looks
// for a later version after each write, because another process may have named one before: the hint that is written
// last is then of the newest.
func (w *Writer) putHint(ctx context.Context, folder string, version int64) (err error) {
	for version > 0 && err == nil {
		raw := strconv.AppendInt(nil, version, 10)
		if err = w.cfg.Store.Put(ctx, folder+hintName, bytes.NewReader(raw), int64(len(raw))); err == nil {
			version, err = w.versionFrom(ctx, folder, version+1)
		}
	}
	return err
}
