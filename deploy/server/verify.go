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
	"recount/schemas/setting"
)

// VerifyOptions are what an offline verification is given.
type VerifyOptions struct {
	verify.Options
	Scratch string       // where the copies of the log and of ClickHouse go; empty is the system's folder
	Logger  *slog.Logger // nil discards
}

// Verify judges what a stopped server has stored. No file of the data_dir is changed, and
// no server can take the folder meanwhile.
//
// The object store is read in place by a server that refuses to write. JetStream and
// ClickHouse cannot be opened without writing (one rewrites its indexes and cuts damaged
// ends off, the other merges parts and replaces its status file), so those two are opened on
// a copy. The log holds what is not published yet and ClickHouse only aggregates; the
// events themselves, the most by far, are not copied.
func Verify(ctx context.Context, cfg Config, o VerifyOptions) (report verify.Report, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cat, err := cfg.Catalog()
	if err != nil {
		return report, err
	}
	if cfg.embedsAnything() {
		lock, err := lockForReading(cfg.DataDir)
		if err != nil {
			return report, err
		}
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
	if err := fits(ctx, cfg, e); err != nil {
		return report, err
	}
	evidence := &verify.Evidence{
		Catalog: cat, Partitions: cfg.Log.Partitions, Records: e.records, Objects: e.lake, Keep: cfg.Batch.Keep,
		Exact:     exact.Config{Workers: exact.DefaultConfig().Workers, Memory: cfg.Batch.Memory},
		OneWriter: cfg.ObjectStore.URL == Embedded,
	}
	if evidence.CellsError = e.openCopy(ctx, cfg, scratch, "clickhouse", cfg.ClickHouse.URL, e.openSQL,
		o); evidence.CellsError == nil {
		evidence.Cells = cells.NewStore(e.sql, cat)
	}
	if evidence.LogError = e.openCopy(ctx, cfg, scratch, "log", cfg.Log.URL, e.openLog, o); evidence.LogError == nil {
		evidence.Log = e.log
	}
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return verify.Run(ctx, evidence, o.Options)
}

// fits refuses a configuration of other data: everything would look wrong. What cannot be read is
// for the verification to say.
func fits(ctx context.Context, cfg Config, e *engines) error {
	err := checkFixed(ctx, cfg, e)
	var wrong *setting.Error
	if errors.As(err, &wrong) {
		return fmt.Errorf("the configuration is not that of the data: %w", wrong)
	}
	return nil
}

func (c *Config) embedsAnything() bool {
	return c.Log.URL == Embedded || c.ObjectStore.URL == Embedded || c.ClickHouse.URL == Embedded
}

// openCopy opens an engine, an embedded one on a copy of its folder.
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
			return fmt.Errorf("%s is missing", from)
		}
		if err != nil {
			return fmt.Errorf("copy %s to be read: %w", from, err)
		}
		cfg.DataDir = scratch
	}
	return open(ctx, cfg, o.Logger, nil)
}
