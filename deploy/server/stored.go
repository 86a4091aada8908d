package server

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/landing"
	"recount/schemas/catalog"
	"recount/schemas/durable"
	"recount/schemas/record"
	"recount/schemas/setting"
)

// CheckStored compares a configuration with the data it would run on and returns the result in one
// line. Data that a running server has open is not compared. A server compares it at every start.
func CheckStored(cfg Config) (string, error) {
	if !hasData(cfg) {
		return "there is no data in " + cfg.DataDir + " yet", nil
	}
	ctx := context.Background()
	cat, err := cfg.Catalog()
	if err != nil {
		return "", err
	}
	lock, err := lockDataDir(cfg.DataDir)
	if errors.Is(err, durable.ErrLocked) {
		return "the data in " + cfg.DataDir + " is in use by a running server and was not compared", nil
	}
	if err != nil {
		return "", err
	}
	defer lock.Close()
	e := &engines{}
	if err := e.openLake(ctx, cfg, nil, nil); err != nil {
		return "", errors.Join(err, e.close())
	}
	return "it fits the data in " + cfg.DataDir,
		errors.Join(checkEvolution(ctx, e.records, cat), checkFixed(ctx, cfg, e), e.close())
}

// checkEvolution fails where a declared event type cannot follow its stored form. A stored type
// may be declared no longer: its events stay in the lake.
func checkEvolution(ctx context.Context, records record.CommitLog, cat *catalog.Catalog) error {
	types, err := landing.StoredSchemas(ctx, records)
	if err != nil {
		return fmt.Errorf("read the stored schemas: %w", err)
	}
	var errs []error
	for name, stored := range types {
		declared := cat.Events[name]
		if declared == nil {
			continue
		}
		for _, s := range stored {
			errs = append(errs, catalog.CheckEvolution(s, declared))
		}
	}
	return errors.Join(errs...)
}

// checkFixed fails where the configuration changes a setting that the first commit record has fixed.
func checkFixed(ctx context.Context, cfg Config, e *engines) error {
	chain, err := landing.LoadChain(ctx, e.records, 0)
	if err != nil || !chain.Begun() {
		return err
	}
	var errs []error
	if chain.Bucket != cfg.Bucket {
		width := setting.FormatDuration(chain.Bucket)
		errs = append(errs, &setting.Error{Path: []string{"batch", "bucket"},
			Msg: fmt.Sprintf("the stored data has %s, which cannot be changed; write %s", width, width)})
	}
	if chain.Partitions != cfg.Log.Partitions {
		errs = append(errs, &setting.Error{Path: []string{"log", "partitions"},
			Msg: fmt.Sprintf("the stored data has %d, which cannot be changed; write %d", chain.Partitions,
				chain.Partitions)})
	}
	return errors.Join(errs...)
}
