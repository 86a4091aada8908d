package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/deploy/verify"
	"recount/schemas/durable"
	"recount/schemas/setting"
)

// VerifyOptions are the options of an offline verification.
type VerifyOptions struct {
	verify.Options
	Scratch string       // folder for the copies of the log and of ClickHouse; empty is the system's temporary folder
	Logger  *slog.Logger // nil discards
}

// Verify judges what a stopped server has stored. It changes no file of the data_dir, and no server
// can open the folder meanwhile.
//
// The object store is read in place, by a server that refuses writes. JetStream and ClickHouse write
// when they are opened: JetStream rewrites its indexes and cuts off damaged ends; ClickHouse merges
// parts and replaces its status file. Verify therefore opens copies of these two. The copies are
// small: the log holds the events that are not published yet, and ClickHouse only aggregates.
func Verify(ctx context.Context, cfg Config, o VerifyOptions) (report verify.Report, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cat, err := cfg.Catalog()
	if err != nil {
		return report, err
	}
	lock, err := lockForReading(cfg.DataDir)
	if err != nil && cfg.embedsAnything() {
		return report, err
	}
	inUse := errors.Is(err, durable.ErrLocked)
	if err == nil {
		defer lock.Close()
	}
	scratch, err := os.MkdirTemp(o.Scratch, "recount-verify-")
	if err != nil {
		return report, fmt.Errorf("make a folder for copies: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	e := &engines{readOnly: true}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.openLake(ctx, cfg, o.Logger, nil); err != nil {
		return report, fmt.Errorf("object store: %w", err)
	}
	if err := checkSameData(ctx, cfg, e); err != nil {
		return report, err
	}
	if stored, err := cfg.storedCatalog(ctx, e.records); err == nil && stored.N > 0 { // An error is a finding (V13).
		cat = stored.Catalog
	}
	evidence := &verify.Evidence{
		Catalog: cat, Partitions: cfg.Log.Partitions, Records: e.records, Objects: e.lake, Keep: cfg.Batch.Keep,
		Exact:     exact.Config{Workers: exact.DefaultConfig().Workers, Memory: cfg.Batch.Memory},
		OneWriter: cfg.ObjectStore.URL == Embedded,
	}
	if cfg.ObjectStore.URL != Embedded {
		evidence.Kept = verify.KeptIn(e.records, cfg.Batch.Keep) // Processes of a cluster may run meanwhile.
	}
	if evidence.CellsError = e.openCopy(ctx, cfg, scratch, "clickhouse", cfg.ClickHouse.URL, e.openSQL,
		o); evidence.CellsError == nil {
		evidence.Cells = cells.NewStore(e.sql, cat)
	}
	if evidence.LogError = e.openCopy(ctx, cfg, scratch, "log", cfg.Log.URL, e.openLog, o); evidence.LogError == nil {
		evidence.Log = e.log
	}
	if !inUse {
		s := &Server{cfg: cfg, declared: cat, catalog: cat, engines: e, logger: o.Logger}
		evidence.Foresee = func(ctx context.Context) verify.Outlook { return s.foresee(ctx, evidence) }
	}
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return verify.Run(ctx, evidence, o.Options)
}

// checkSameData refuses the configuration of other data, with which everything would look wrong.
// A record that cannot be read is no reason to refuse: the verification reports it.
func checkSameData(ctx context.Context, cfg Config, e *engines) error {
	err := checkFixed(ctx, cfg, e)
	var mistake *setting.Error
	if errors.As(err, &mistake) {
		return fmt.Errorf("the configuration does not belong to the stored data: %w", mistake)
	}
	return nil
}

func (c *Config) embedsAnything() bool { return len(c.embedded()) > 0 }

// embedded lists the settings that name an embedded engine.
func (c *Config) embedded() (keys []string) {
	for _, engine := range []struct{ key, url string }{
		{"log.url", c.Log.URL}, {"object_store.url", c.ObjectStore.URL}, {"clickhouse.url", c.ClickHouse.URL},
	} {
		if engine.url == Embedded {
			keys = append(keys, engine.key)
		}
	}
	return keys
}

// openCopy opens an engine. An embedded engine is opened on a copy of its folder.
func (e *engines) openCopy(ctx context.Context, cfg Config, scratch, folder, url string, open opener,
	o VerifyOptions) error {
	if url == Embedded {
		if o.Progress != nil {
			o.Progress(verify.Progress{Step: "copy " + folder})
		}
		from, err := filepath.Abs(filepath.Join(cfg.DataDir, folder))
		if err != nil {
			return err
		}
		err = copyTree(ctx, from, filepath.Join(scratch, folder))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("folder %s is missing; restore it from a backup: %w", from, os.ErrNotExist)
		}
		if err != nil {
			return fmt.Errorf("copy %s, to verify the copy: %w", from, err)
		}
		cfg.DataDir = scratch
	}
	return open(ctx, cfg, o.Logger, nil)
}
