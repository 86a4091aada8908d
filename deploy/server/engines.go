package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/lake"
	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/natsserver"
	"recount/deploy/embedded/s3server"
	"recount/speed/eventlog"
)

// engines are the log, the object store and ClickHouse, embedded or elsewhere.
// close is called in reverse order of opening.
type engines struct {
	log     *eventlog.Log
	lake    *lake.Store
	records *lake.CommitLog
	sql     driver.Conn
	closers []func() error

	readOnly bool // open nothing that writes
}

// opener opens one of the engines.
type opener = func(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) error

func (e *engines) onClose(f func() error) { e.closers = append(e.closers, f) }

func (e *engines) close() error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i]())
	}
	return errors.Join(errs...)
}

// openEngines opens what the configuration names and proves that it keeps its
// promises: the log's durability (L1), the store's create-only writes (C9), the functions queries use.
func openEngines(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (_ *engines,
	err error) {
	e := &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if err := e.openLake(ctx, cfg, logger, reg); err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	if err := e.openSQL(ctx, cfg, logger, reg); err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	if err := e.openLog(ctx, cfg, logger, reg); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return e, nil
}

func (e *engines) openLake(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) error {
	lc := cfg.ObjectStore
	if cfg.ObjectStore.URL == Embedded {
		sc := s3server.DefaultConfig(filepath.Join(cfg.DataDir, "s3"))
		sc.Logger = logger
		sc.ReadOnly = e.readOnly
		server, err := s3server.Open(sc)
		if err != nil {
			return err
		}
		e.onClose(server.Close)
		if err := server.Start(); err != nil {
			return err
		}
		keys := server.Credentials()
		lc.URL = ""
		lc.Endpoint = server.Endpoint()
		lc.Bucket = "recount"
		lc.PathStyle = true
		lc.CreateBucket = true
		lc.AccessKey = keys.AccessKey
		lc.SecretKey = keys.SecretKey
	}
	lc.Logger = logger
	lc.Registerer = reg
	lc.ReadOnly = e.readOnly
	store, err := lake.Open(ctx, lc)
	if err != nil {
		return err
	}
	e.onClose(func() error {
		store.Close()
		return nil
	})
	e.lake = store
	e.records = lake.NewCommitLog(store)
	if e.readOnly {
		return nil // The probe writes, and who does not write need not trust the store's conditions.
	}
	return store.Probe(ctx)
}

func (e *engines) openSQL(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) error {
	var opts *clickhouse.Options
	if cfg.ClickHouse.URL == Embedded {
		cc := cfg.embeddedSQL()
		cc.Logger = logger
		cc.Registerer = reg
		engine, err := chdb.Open(ctx, cc)
		if err != nil {
			return err
		}
		e.onClose(engine.Close)
		opts = engine.Options()
	} else {
		var err error
		if opts, err = clickhouse.ParseDSN(cfg.ClickHouse.URL); err != nil {
			return fmt.Errorf("clickhouse.url: %w", err)
		}
		opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
		boundSilence(opts, cfg.Query.Timeout)
		if e.readOnly {
			opts.Settings = clickhouse.Settings{"readonly": 2} // 1 would refuse the settings of long reads
		}
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	e.onClose(conn.Close)
	e.sql = conn
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	return probeSQL(ctx, conn)
}

// probeSQL proves that the server knows the youngest function that queries use, rather than
// let every distinct count fail later. Versions are not compared: forks number theirs differently.
func probeSQL(ctx context.Context, conn driver.Conn) error {
	var n uint64
	if err := conn.QueryRow(ctx,
		"SELECT uniqExactArray(reinterpret('12345678', 'Array(UInt64)'))").Scan(&n); err != nil {
		return fmt.Errorf("the server cannot read an array out of a string, which ClickHouse can from 25.7 on: %w", err)
	}
	return nil
}

func (e *engines) openLog(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) error {
	var embedded eventlog.Server
	if cfg.Log.URL == Embedded {
		nc := natsserver.DefaultConfig(filepath.Join(cfg.DataDir, "log"))
		nc.SyncAlways = cfg.Log.Durability == eventlog.Strict
		nc.MaxStore = cfg.Log.MaxBytes*int64(cfg.Log.Partitions) + 64<<20
		nc.Logger = logger
		server, err := natsserver.Open(ctx, nc)
		if err != nil {
			return err
		}
		e.onClose(func() error {
			server.Close()
			return nil
		})
		embedded = server
	}
	lc := cfg.eventLog(embedded)
	lc.Logger = logger
	lc.Registerer = reg
	lc.ReadOnly = e.readOnly
	log, err := eventlog.Open(ctx, lc)
	if err != nil {
		return err
	}
	e.onClose(func() error {
		log.Close()
		return nil
	})
	e.log = log
	return nil
}

// stored reports whether the embedded engines hold data already.
func stored(cfg Config) bool {
	_, err := os.Stat(filepath.Join(cfg.DataDir, "s3"))
	return err == nil || cfg.ObjectStore.URL != Embedded
}
