package server

import (
	"context"
	"errors"
	"fmt"

	"recount/deploy/server/generations"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
)

// ApplyStored applies the declarations of a configuration to the catalog in its object store, as PUT /v1/catalog does,
// and says what it has changed. A dry run only says what it would change. Embedded engines must not be in use.
func ApplyStored(ctx context.Context, cfg Config, dry bool) (changes openapi.Changes, err error) {
	file, err := cfg.Catalog()
	if err != nil {
		return changes, err
	}
	if !hasData(cfg) {
		return changes, fmt.Errorf("data_dir: %s holds no data: name the folder of a server with --data-dir or the "+
			"configuration, or ask a running server with --server URL", cfg.DataDir)
	}
	if cfg.embedsAnything() {
		lock := lockDataDir
		if dry {
			lock = lockForReading
		}
		held, err := lock(cfg.DataDir)
		if err != nil {
			return changes, err
		}
		defer held.Close()
	}
	e := &engines{readOnly: dry}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.openLake(ctx, cfg, nil, nil); err != nil {
		return changes, fmt.Errorf("object store: %w", err)
	}
	if err := checkSameData(ctx, cfg, e); err != nil {
		return changes, err
	}
	var named generations.Named
	if !dry {
		if err := e.openLog(ctx, cfg, nil, nil); err != nil {
			return changes, fmt.Errorf("log: %w", err)
		}
		if named, err = namedGeneration(ctx, e); err != nil {
			return changes, err
		}
	}
	chain, err := generations.Open(ctx, generations.Config{Bucket: cfg.Bucket, Code: Version(),
		Named: func() generations.Named { return named }}, e.records)
	if err != nil {
		return changes, err
	}
	applied, err := applyFile(ctx, chain, file, dry)
	if err != nil {
		return changes, err
	}
	return openapi.Changes{Generation: applied.Generation, DryRun: dry, Kept: applied.Kept,
		Conflicts: applied.Conflicts, Changes: declaration.Changes(applied.Before, applied.After)}, nil
}
