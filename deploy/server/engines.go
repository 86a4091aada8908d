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
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// engines are the log, the object store and ClickHouse, embedded or external.
type engines struct {
	log     *eventlog.Log
	lake    *lake.Store
	records *lake.CommitLog
	sql     driver.Conn
	// embeddedSQL is nil with an external ClickHouse.
	embeddedSQL *chdb.Engine
	probe       *probe // nil with an embedded ClickHouse, which answers as long as the process does
	closers     []func() error
	nats        *natsserver.Server // nil with an external log

	readOnly bool // nothing may write to the stored data

	lakeAccess string // how other programs reach an embedded object store; empty if they cannot
}

// lakeBucket is the bucket of the embedded object store.
const lakeBucket = "recount"

// tombstone is the installation record that a program finds which looks for objects where older programs put them. It
// requires what no such program knows, so that program refuses to start and says why.
func tombstone() s3server.Tombstone {
	return s3server.Tombstone{Bucket: lakeBucket, Key: record.InstallationKey,
		Body: record.WithDigest([]byte(`{"format":1,"requires":["objects as plain files"]}`))}
}

// opener opens one of the engines.
type opener = func(ctx context.Context, cfg Config, logger *slog.Logger, reg prometheus.Registerer) error

func (e *engines) onClose(f func() error) { e.closers = append(e.closers, f) }

// close closes the engines in the reverse order of their opening.
func (e *engines) close() error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i]())
	}
	return errors.Join(errs...)
}

// openEngines opens the configured engines and checks that each keeps its promise: the log its
// durability (L1), the object store its create-only writes (C9), ClickHouse the functions that queries call.
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
		sc.Tombstone = tombstone()
		if cfg.ObjectStoreListen != "" && !e.readOnly {
			sc.Listen = cfg.ObjectStoreListen
		}
		server, err := s3server.Open(sc)
		if err != nil {
			return err
		}
		e.onClose(server.Close)
		if err := server.Start(); err != nil {
			return fmt.Errorf("%w; choose another address with --object-store.listen", err)
		}
		if cfg.ObjectStoreListen != "" && !e.readOnly {
			_, file := server.Reader()
			e.lakeAccess = fmt.Sprintf("other programs read the lake over S3 at %s, bucket %s, region us-east-1, with "+
				"the key pair in %s, which may only read", server.Endpoint(), lakeBucket, file)
		}
		keys := server.Credentials()
		lc.URL = ""
		lc.Endpoint = server.Endpoint()
		lc.Bucket = lakeBucket
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
		return nil // The probe writes. A reader does not depend on create-only writes.
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
		e.embeddedSQL = engine
		opts = engine.Options()
	} else {
		var err error
		if opts, err = clickhouse.ParseDSN(cfg.ClickHouse.URL); err != nil {
			return fmt.Errorf("clickhouse.url: %w", err)
		}
		opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
		boundSilence(opts, cfg.Query.Timeout)
		if e.readOnly {
			opts.Settings = clickhouse.Settings{"readonly": 2} // 1 would refuse the settings that long reads need
		}
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	e.onClose(conn.Close)
	e.sql = conn
	if cfg.ClickHouse.URL != Embedded {
		if e.probe, err = openProbe(opts, placeName(cfg.ClickHouse.URL, "", "")); err != nil {
			return err
		}
		e.onClose(e.probe.conn.Close)
	}
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	return probeSQL(ctx, conn)
}

// needsRestart returns why only a restart of the process helps, or nil. The other engines recover by themselves.
func (e *engines) needsRestart() error {
	if e.nats == nil {
		return nil
	}
	if err := e.nats.NeedsRestart(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// probeSQL checks that ClickHouse has the newest function that queries call. Without it every
// distinct count would fail later. Version numbers are not compared, because forks count their own.
func probeSQL(ctx context.Context, conn driver.Conn) error {
	var n uint64
	if err := conn.QueryRow(ctx,
		"SELECT uniqExactArray(reinterpret('12345678', 'Array(UInt64)'))").Scan(&n); err != nil {
		return fmt.Errorf("probe uniqExactArray(reinterpret(…)), which distinct counts need; use ClickHouse 25.7 or "+
			"later: %w", err)
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
		e.nats = server
	}
	lc := cfg.eventLog(embedded)
	lc.Logger = logger
	lc.Registerer = reg
	lc.ReadOnly = e.readOnly && cfg.Log.URL != Embedded // An embedded log is then a copy, and opens as at a start.
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

// hasData reports whether there may be stored data: an embedded object store has its folder, and
// an external store is always asked.
func hasData(cfg Config) bool {
	_, err := os.Stat(filepath.Join(cfg.DataDir, "s3"))
	return err == nil || cfg.ObjectStore.URL != Embedded
}
