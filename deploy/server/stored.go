package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount/batch/landing"
	"recount/deploy/server/generations"
	"recount/deploy/server/keys"
	"recount/schemas/catalog"
	"recount/schemas/durable"
	"recount/schemas/record"
	"recount/schemas/setting"
	"recount/schemas/sqlschema"
)

// CheckStart does what a start does before it changes anything: it reads the files that the configuration names, tries
// the folder of the data, and plans the table of every view. It returns the catalog.
func (c *Config) CheckStart() (*catalog.Catalog, error) {
	cat, err := c.Catalog()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, v := range cat.Views {
		_ = sqlschema.CreateTable(cat, v) // It needs a digest of every view.
	}
	if c.Auth.KeysFile != "" {
		_, _, err := keys.Read(c.Auth.KeysFile)
		errs = append(errs, withPlace("auth.keys_file", err))
	}
	if c.TLS.CertFile != "" {
		_, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
		errs = append(errs, withPlace("tls", err))
	}
	if c.ClickHouse.URL == Embedded {
		errs = append(errs, withPlace("clickhouse.library", c.ClickHouse.CheckLibrary()))
	}
	errs = append(errs, withPlace("data_dir", checkFolder(c.DataDir)))
	return cat, errors.Join(errs...)
}

// checkFolder makes a folder and a file in it, as a start does, and removes what it has made. No other test is sure: a
// mode allows what a file system refuses.
func checkFolder(path string) (err error) {
	var made []string // deepest first
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		made = append(made, at)
	}
	defer func() {
		for _, folder := range made {
			_ = os.Remove(folder) // A folder that another process uses meanwhile is not empty, and stays.
		}
		if err != nil {
			err = fmt.Errorf("%w; name another folder, or change its mode", err)
		}
	}()
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(path, "check-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// CheckStored compares a configuration with the data it would run on and returns the result, and a line for each field
// that is stored otherwise than it is declared. Data that a running server has open is not compared. A server compares
// it at every start. An address that another process uses at the moment is no mistake; the result names it.
func CheckStored(cfg Config) (string, error) {
	cat, err := cfg.CheckStart()
	if err != nil {
		return "", err
	}
	var note string
	if err := cfg.checkDoors(); err != nil {
		note = "\na start would fail now: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if !hasData(cfg) {
		return "there is no data in " + cfg.DataDir + " yet" + note, nil
	}
	ctx := context.Background()
	lock, err := lockForReading(cfg.DataDir)
	if errors.Is(err, durable.ErrLocked) {
		return "the data in " + cfg.DataDir + " is in use by a running server and was not compared", nil
	}
	if err == nil {
		defer lock.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	e := &engines{readOnly: true}
	if err := e.openLake(ctx, cfg, nil, nil); err != nil {
		return "", errors.Join(err, e.close())
	}
	if err := checkFixed(ctx, cfg, e); err != nil {
		return "", errors.Join(err, e.close())
	}
	stored, err := cfg.storedCatalog(ctx, e.records)
	if err != nil {
		return "", errors.Join(err, e.close())
	}
	var changes []string
	if stored.N > 0 && cfg.declares() {
		changes = describeDifference(generations.Compare(stored, cat, false))
	}
	fields, err := storedChanges(ctx, e.records, cat)
	changes = append(changes, fields...)
	return strings.Join(append([]string{"it fits the data in " + cfg.DataDir +
			"; a start also checks that log, object store and ClickHouse belong together" + note}, changes...), "\n"),
		errors.Join(err, e.close())
}

// storedChanges says what the catalog changes of the event types in the lake. Each change is allowed. A stored type
// may be declared no longer: its events stay in the lake.
func storedChanges(ctx context.Context, records record.CommitLog, cat *catalog.Catalog) (changes []string, err error) {
	types, err := landing.StoredSchemas(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("read the stored schemas: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		declared := cat.Events[name]
		if declared == nil {
			continue
		}
		for _, stored := range types[name] {
			changes = append(changes, catalog.Changes(stored, declared)...)
		}
	}
	slices.Sort(changes)
	return slices.Compact(changes), nil
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
